/* Searches: their trials in order, and the parameters of each. */

function searches(store, model) {
  const trials = store.trials, number = trials.number.length;
  const keys = trials.number.map((_, at) => `${trials.exercise[at]} on ${trials.dataset[at]}`);
  const names = [...new Set(keys)];
  const parameters = Object.keys(trials).filter((name) => name.startsWith("param_"));
  const show = () => {
    const rows = [...Array(number).keys()].filter((at) => keys[at] === by("searched").value);
    const metric = trials.metric[rows[0]], percent = metric.endsWith("accuracy");
    const used = parameters.filter((name) => rows.some((at) => trials[name][at] !== null));
    const better = percent ? (a, b) => a > b : (a, b) => a < b;
    const axes = parallel(rows, [...used.map((name) => ({ label: cut(name.slice(6)), cell: (at) => trials[name][at], kind: "number" })),
      { label: metric.replace("val_", "validation ").replace("_", " "), cell: (at) => trials.value[at], kind: percent ? "percent" : "number", falling: !percent, result: true }]);
    const good = (at) => trials.status[at] === "ok";
    model("trials").data = {
      x: rows.map((at) => trials.number[at]), y: rows.map((at) => trials.value[at] ?? NaN),
      text: rows.map((at) => used.filter((name) => trials[name][at] !== null).map((name) => `${name.slice(6)} ${shown(trials[name][at])}`).join(", ")),
      value: rows.map((at) => `${trials.state[at]}, ${shown(trials.value[at], percent ? "percent" : "number")}`),
      color: rows.map((at) => visible(!good(at) || trials.state[at] === "failed" ? "#a33c00" : trials.state[at] === "pruned" ? "#7f7f7f" : "#0072b2")),
      marker: rows.map((at) => (!good(at) || trials.state[at] === "failed" ? "triangle" : trials.state[at] === "pruned" ? "x" : "circle")),
      xs: rows.map(() => axes.xs), ys: rows.map((at) => axes.of.map((place) => place(at))),
    };
    model("trial_axes").data = axes.words;
    fit("trial_parallel", model("figure trial_parallel"), axes.xs.length);
    model("figure trials").left[0].axis_label = metric.replace("val_", "validation ").replace("_", " ");
    const line = { x: [], y: [] };
    let best = null;
    for (const at of rows) {
      const value = trials.value[at];
      if (trials.state[at] === "complete" && value !== null && (best === null || better(value, best))) best = value;
      if (best !== null) { line.x.push(trials.number[at]); line.y.push(best); }
    }
    model("best_so_far").data = line;
    const order = rows.filter((at) => trials.state[at] === "complete" && trials.value[at] !== null).sort((a, b) => (percent ? -1 : 1) * (trials.value[a] - trials.value[b]));
    const table = by("trial-table");
    table.caption.textContent = `The best ${Math.min(10, order.length)} of ${rows.length} trials`;
    table.tHead.replaceChildren(element("tr", {}, ...["trial", ...used.map((name) => name.slice(6)), "value"].map((name) => element("th", { scope: "col" }, name))));
    table.tBodies[0].replaceChildren(...order.slice(0, 10).map((at) => element("tr", {}, element("td", { class: "n" }, String(trials.number[at])),
      ...used.map((name) => element("td", {}, shown(trials[name][at]))), element("td", { class: "n" }, shown(trials.value[at], percent ? "percent" : "number")))));
  };
  by("searched").append(...names.map((name) => element("option", {}, name)));
  by("searched").addEventListener("change", show);
  repaint.push(show);
  show();
}
