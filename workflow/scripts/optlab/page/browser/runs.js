/* The runs: pictures and a table of one problem, linked.

One state: the problem that is looked at, the filter, the order of the table, and the selected runs.
`show` draws a problem, `select` changes the selection; both write the state into the address. */

const SHOWN = 100; // rows of the table at once
const CURVES = 60; // curves at once
const CARDS = 6; // selected runs with their command
const MANY = 24; // optimizers: of more, only the first are selected at the beginning
const FIRST = 10;

function page(store, curves, models) {
  const { values, columns } = store;
  const column = Object.fromEntries(columns.map((one) => [one.name, one]));
  const settings = columns.slice(1, columns.findIndex((one) => one.name === "device")).map((one) => one.name);
  const state = { problem: 0, query: "", sort: null, part: "train", selected: new Set(), rows: [], limit: SHOWN };
  const position = new Map(store.id.map((id, run) => [id, run]));
  const model = (name) => models.get(name);
  const look = (run) => store.look[values.optimizer[run]];
  const problem = () => store.problems[state.problem];
  let silent = false; // while this program itself changes a selection

  // The runs of the problem that pass the filter.
  function passing() {
    const test = filter(state.query, store);
    return store.problem.flatMap((at, run) => (at === state.problem && test(run) ? [run] : []));
  }

  function differing(rows, names) {
    return names.filter((name) => rows.some((run) => values[name][run] !== values[name][rows[0]]));
  }

  // Of a figure such as val_accuracy: what it measures, by which plot it is shown, and its name.
  const metricOf = (figure) => figure.replace(/^(train|val|test)_/, "");
  const kindOf = (metric) => (metric === "loss" ? "loss" : metric.endsWith("accuracy") ? "accuracy" : "metric");
  const nameOf = (metric) => column[`train_${metric}`].label.replace("training ", "");

  // -- drawing a problem ---------------------------------------------------------------------------

  function show() {
    const here = store.problem.flatMap((at, run) => (at === state.problem ? [run] : []));
    state.rows = passing();
    state.varied = differing(here, settings);
    const constant = settings.filter((name) => !state.varied.includes(name) && values[name][here[0]] !== null);
    by("constants").textContent = constant.length ? "The same in all of its runs: " + constant.map((name) => `${column[name].label} ${shown(values[name][here[0]])}`).join(", ") + "." : "";
    const has = (name) => name in values && here.some((run) => values[name][run] !== null);
    state.figures = store.measured.filter(has);
    state.validated = has("val_loss");
    by("part").disabled = !state.validated;
    if (!state.validated) state.part = by("part").value = "train";
    const known = store.figures.filter(has).map(metricOf), own = metricOf(problem().figure);
    state.metric = own !== "loss" && known.includes(own) ? own : known.find((name) => name !== "loss");
    for (const kind of store.kinds) {
      by(`rates_${kind}`).hidden = kind !== kindOf(own);
      if (kind !== "loss") by(`curves_${kind}`).hidden = !state.metric || kind !== kindOf(state.metric);
    }
    by("accuracies").hidden = !state.metric;
    if (state.metric) by("accuracies-words").textContent = `The ${nameOf(state.metric)} of the selected runs.`;
    drawRuns();
    drawTable();
    drawMatrix(store.pairs[problem().key], (...two) => select(chosenRuns().filter((run) => two.includes(values.optimizer[run]))));
    drawSelection();
  }

  function drawRuns() {
    const rows = state.rows, figure = problem().figure, kind = column[figure].kind, log = figure.endsWith("loss");
    // On a logarithmic axis a loss of 0 is drawn below all others.
    // A result far worse than all others is drawn at the edge: it would squeeze them.
    const floor = lowest(rows.map((run) => values[figure][run])) / 10;
    const [low, high] = fences(rows.map((run) => values[figure][run]), log);
    const near = (value) => (problem().higher ? Math.max(low, value) : Math.min(high, value));
    const drawn = (value) => near(value === 0 && log ? floor : value);
    const axes = rails(rows, figure, drawn);
    const data = {
      run: rows,
      x: rows.map((run) => ("lr" in values ? values.lr[run] : null) ?? NaN),
      y: rows.map((run) => drawn(values[figure][run] ?? NaN)),
      text: rows.map((run) => store.text[run]),
      value: rows.map((run) => `${column[figure].label} ${shown(values[figure][run], kind) || values.status[run]}`),
      color: rows.map((run) => visible(look(run)[0])),
      marker: rows.map((run) => look(run)[2]),
      xs: rows.map(() => axes.xs),
      ys: rows.map((run) => axes.of.map((place) => place(run))),
    };
    silent = true;
    model("runs").selected.indices = [];
    model("runs").data = data;
    model("axes").data = axes.words;
    fit("parallel", model("figure parallel"), axes.xs.length);
    for (const kind of store.kinds) {
      model(`ways_${kind}`).data = ways(rows, figure, drawn);
      model(`figure rates_${kind}`).left[0].axis_label = column[figure].label;
    }
    silent = false;
  }

  // Of each optimizer the best run at each learning rate.
  function ways(rows, figure, drawn) {
    const found = new Map(), better = problem().higher ? (a, b) => a > b : (a, b) => a < b;
    for (const run of rows) {
      const rate = "lr" in values ? values.lr[run] : null, value = values[figure][run];
      if (rate === null || value === null) continue;
      const name = values.optimizer[run];
      if (!found.has(name)) found.set(name, new Map());
      const line = found.get(name);
      if (!line.has(rate) || better(value, line.get(rate))) line.set(rate, value);
    }
    const data = { xs: [], ys: [], color: [], dash: [] };
    for (const [name, line] of found) {
      const rates = [...line.keys()].sort((a, b) => a - b);
      data.xs.push(rates); data.ys.push(rates.map((rate) => drawn(line.get(rate))));
      data.color.push(visible(store.look[name][0])); data.dash.push(store.look[name][1]);
    }
    return data;
  }

  // The axes of parallel coordinates: for each a function from a run to its height.
  function rails(rows, figure, drawn) {
    const names = ["optimizer", ...state.varied, figure];
    const cells = (name) => (name === "optimizer" ? (run) => store.label[run] : (run) => (name !== figure || values[name][run] === null ? values[name][run] : drawn(values[name][run])));
    return parallel(rows, names.map((name) => ({
      label: name === "optimizer" ? "optimizer" : column[name].label,
      cell: cells(name),
      kind: name in column ? column[name].kind : "text",
      falling: name === figure && !problem().higher,
      result: name === figure,
      true: name === figure ? (end) => rows.map((run) => values[figure][run]).find((value) => value !== null && drawn(value) === end) : null,
    })));
  }

  // -- curves --------------------------------------------------------------------------------------

  function curve(run, name) {
    const [start, points, mask] = store.places[run];
    const bit = store.figures.indexOf(name), width = store.bands ? 3 : 1;
    if (!points || !(mask & (1 << bit))) return null;
    let before = 0;
    for (let other = 0; other < bit; other++) if (mask & (1 << other)) before++;
    const part = (number) => curves.subarray(start + number * points, start + (number + 1) * points);
    const at = 1 + width * before;
    return { x: part(0), mean: part(at), low: store.bands ? part(at + 1) : null, high: store.bands ? part(at + 2) : null };
  }

  function drawCurves(runs) {
    for (const kind of store.kinds) {
      const metric = kind === "loss" ? "loss" : state.metric && kindOf(state.metric) === kind ? state.metric : kind;
      const lines = { xs: [], ys: [], color: [], dash: [], text: [] }, bands = { xs: [], ys: [], color: [] };
      for (const run of runs.slice(0, CURVES)) {
        const found = curve(run, `${state.part}_${metric}`);
        if (!found) continue;
        const floor = kind === "loss" ? lowest(found.mean) / 10 : -Infinity;
        const keep = [...found.x.keys()].filter((i) => Number.isFinite(found.mean[i]));
        const pick = (array) => keep.map((i) => (array === found.x ? array[i] : Math.max(array[i], floor)));
        lines.xs.push(pick(found.x)); lines.ys.push(pick(found.mean));
        lines.color.push(visible(look(run)[0])); lines.dash.push(look(run)[1]); lines.text.push(store.text[run]);
        if (!found.low) continue;
        bands.xs.push([...pick(found.x), ...pick(found.x).reverse()]);
        bands.ys.push([...pick(found.high), ...pick(found.low).reverse()]);
        bands.color.push(visible(look(run)[0]));
      }
      model(`bands_${kind}`).data = bands;
      model(`lines_${kind}`).data = lines;
      model(`figure curves_${kind}`).left[0].axis_label = `${state.part === "val" ? "validation" : "training"} ${metric === kind ? kind : nameOf(metric)}`;
    }
  }

  // -- the table -----------------------------------------------------------------------------------

  function tableColumns() {
    const extra = ["diverged", "status", "reason", "other_work"].filter((name) => name in values && state.rows.some((run) => ![null, 0, "ok"].includes(values[name][run])));
    return ["optimizer", ...state.varied, ...state.figures, ...extra];
  }

  function ordered() {
    const { name, down } = state.sort ?? { name: problem().figure, down: problem().higher };
    const cells = name === "optimizer" ? store.label : values[name];
    const lost = (value) => value === null || value === "";
    return [...state.rows].sort((a, b) => {
      const [one, two] = [cells[a], cells[b]];
      if (lost(one) || lost(two)) return lost(one) - lost(two);
      const order = typeof one === "number" && typeof two === "number" ? one - two : String(one).localeCompare(String(two));
      return down ? -order : order;
    });
  }

  function drawTable() {
    const names = tableColumns(), table = by("table"), sorted = state.sort ?? { name: problem().figure, down: problem().higher };
    const heads = names.map((name) => {
      const label = column[name].label + (name === "seconds" ? " (s)" : "");
      const button = element("button", { type: "button", on: { click: () => sortBy(name) } }, label + (sorted.name === name ? (sorted.down ? " ▾" : " ▴") : ""));
      const kind = column[name].kind === "text" ? "" : "n";
      return element("th", { scope: "col", class: kind, "aria-sort": sorted.name === name ? (sorted.down ? "descending" : "ascending") : "none" }, button);
    });
    table.tHead.replaceChildren(element("tr", {}, element("th", { scope: "col" }, element("span", { title: "selected" }, "✓")), ...heads));
    state.order = ordered();
    table.tBodies[0].replaceChildren(...state.order.slice(0, state.limit).map((run) => row(run, names)));
    const hidden = Math.max(0, state.order.length - state.limit);
    by("more").hidden = !hidden;
    by("more").textContent = `Show ${Math.min(hidden, SHOWN)} more rows`;
    table.caption.textContent = `${state.order.length} runs of ${problem().title}${hidden ? `, ${state.limit} of them shown` : ""}`;
    markRows();
  }

  function row(run, names) {
    const cells = names.map((name) => {
      if (name === "optimizer") {
        const swatch = element("span", { class: "swatch" });
        swatch.style.borderTopColor = visible(look(run)[0]);
        swatch.style.borderTopStyle = look(run)[1] === "solid" ? "solid" : look(run)[1] === "dotted" ? "dotted" : "dashed";
        return element("td", {}, swatch, element("bdi", {}, store.label[run]));
      }
      const kind = column[name].kind;
      return element("td", { class: kind === "text" ? "wide" : "n" }, shown(values[name][run], kind));
    });
    const box = element("input", { type: "checkbox", "aria-label": `select ${store.text[run]}`, on: { click: (event) => { event.stopPropagation(); toggle(run); } } });
    return element("tr", { "data-run": run, on: { click: () => toggle(run) } }, element("td", {}, box), ...cells);
  }

  function markRows() {
    for (const line of by("table").tBodies[0].rows) {
      const chosen = state.selected.has(Number(line.dataset.run));
      line.classList.toggle("selected", chosen);
      line.querySelector("input").checked = chosen;
    }
  }

  function sortBy(name) {
    const now = state.sort ?? { name: problem().figure, down: problem().higher };
    state.sort = { name, down: now.name === name ? !now.down : Boolean(column[name]?.higher) };
    drawTable();
    address();
  }

  // -- the selection -------------------------------------------------------------------------------

  function toggle(run) {
    state.selected.has(run) ? state.selected.delete(run) : state.selected.add(run);
    state.latest = run;
    select(state.selected);
  }

  function select(runs) {
    state.selected = new Set(runs);
    drawSelection();
    address();
  }

  function drawSelection() {
    const here = state.rows.filter((run) => state.selected.has(run));
    silent = true;
    model("runs").selected.indices = state.rows.flatMap((run, place) => (state.selected.has(run) ? [place] : []));
    silent = false;
    drawCurves(here);
    markRows();
    const every = [...state.selected];
    const left = every.length - CARDS;
    by("chosen").replaceChildren(...every.slice(-CARDS).reverse().map(details), ...(left > 0 ? [element("p", { class: "note" }, `and ${left} more selected runs`)] : []));
  }

  function details(run) {
    const figures = state.figures.map((name) => `${column[name].label} ${shown(values[name][run], column[name].kind)}${name === "seconds" ? " s" : ""}`).join(", ");
    const command = store.command[run], folder = `runs/${encodeURI(store.path[run])}`;
    const button = element("button", { type: "button", on: { click: (event) => copy(command, event.target) } }, "Copy");
    const links = [["metrics", "metrics.tsv"], ["record", "run.json"]].flatMap(([name, file]) => [" ", element("a", { href: `${folder}/${file}` }, name)]);
    return element("details", run === state.latest ? { class: "run", open: "" } : { class: "run" },
      element("summary", {}, element("b", {}, store.text[run])),
      element("p", {}, figures || values.status[run], ...links),
      values.reason && values.reason[run] ? element("p", { class: "failure" }, values.reason[run]) : null,
      command ? element("div", { class: "command" }, button, element("code", {}, command)) : null);
  }

  // The best run of each optimizer, by rank.
  function chosenRuns() {
    const best = ordered().filter((run) => store.chosen[run]);
    return best.length ? best : ordered().slice(0, 5);
  }

  // -- the address of a view -----------------------------------------------------------------------

  function address() {
    const parts = { p: problem().key };
    if (state.selected.size) parts.runs = [...state.selected].slice(0, 200).map((run) => store.id[run]).join(",");
    if (state.query) parts.q = state.query;
    if (state.sort) parts.sort = (state.sort.down ? "-" : "") + state.sort.name;
    if (state.part === "val") parts.data = "val";
    const text = "#" + new URLSearchParams(parts).toString();
    try { history.replaceState(null, "", text); } catch (refused) { /* a page inside another one */ }
  }

  function restore() {
    if (!location.hash.startsWith("#p=")) return false;
    const parts = new URLSearchParams(location.hash.slice(1));
    const number = store.problems.findIndex((one) => one.key === parts.get("p"));
    if (number < 0) return false;
    state.problem = number;
    state.query = parts.get("q") ?? "";
    const sort = parts.get("sort");
    state.sort = sort && sort.replace(/^-/, "") in values ? { name: sort.replace(/^-/, ""), down: sort.startsWith("-") } : null;
    state.part = parts.get("data") === "val" ? "val" : "train";
    state.limit = SHOWN;
    const asked = (parts.get("runs") ?? "").split(",").map((id) => position.get(id)).filter((run) => run !== undefined);
    begin(asked);
    return true;
  }

  function begin(asked) {
    by("problem").value = String(state.problem);
    by("filter").value = state.query;
    by("part").value = state.part;
    state.selected = new Set(asked);
    state.rows = passing();
    const best = asked.length ? asked : chosenRuns();
    state.selected = new Set(asked.length || best.length <= MANY ? best : best.slice(0, FIRST));
    show();
  }

  // -- controls ------------------------------------------------------------------------------------

  function connect() {
    by("problem").append(...store.problems.map((one, number) => element("option", { value: number }, one.title)));
    by("problem").addEventListener("change", () => { Object.assign(state, { problem: Number(by("problem").value), sort: null, query: "", limit: SHOWN }); begin([]); address(); });
    let waiting = null;
    by("filter").addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(() => { state.query = by("filter").value; state.limit = SHOWN; show(); address(); }, 120); });
    by("part").addEventListener("change", () => { state.part = by("part").value; drawSelection(); address(); });
    by("select-best").addEventListener("click", () => select(chosenRuns()));
    by("clear").addEventListener("click", () => select([]));
    by("link").addEventListener("click", (event) => { address(); copy(location.href, event.target); });
    by("more").addEventListener("click", () => { state.limit += SHOWN; drawTable(); });
    model("runs").selected.properties.indices.change.connect(() => {
      if (!silent) select(model("runs").selected.indices.map((place) => state.rows[place]));
    });
    addEventListener("hashchange", () => { if (restore()) by("runs").scrollIntoView(); });
    repaint.push(() => { drawRuns(); drawTable(); drawSelection(); });
  }

  connect();
  const linked = restore();
  if (!linked) begin([]);
  else if (by("runs")) by("runs").scrollIntoView();
}
