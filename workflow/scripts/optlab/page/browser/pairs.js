/* The verdict of every pair of optimizers of a problem. */

const MARKS = { b: ["▲", "better"], w: ["▼", "worse"], e: ["=", "equivalent"], o: ["?", "open"] };

/* `choose` selects the runs of two optimizers, so that their curves are seen. */
function drawMatrix(found, choose) {
  by("verdicts").hidden = !found;
  by("pair").textContent = "";
  if (!found) return;
  const turned = { b: "w", w: "b" }, cells = new Map();
  for (const [one, two, verdict, difference, p, seeds] of found.rows) {
    cells.set(`${one} ${two}`, { verdict, difference, p, seeds });
    cells.set(`${two} ${one}`, { verdict: turned[verdict] ?? verdict, difference: difference === null ? null : -difference, p, seeds });
  }
  const names = found.names, cell = (one, two) => pairCell(names[one], names[two], cells.get(`${one} ${two}`), found, () => choose(found.optimizers[one], found.optimizers[two]));
  if (!found.whole) {
    by("matrix").replaceChildren(...firstAgainst(names, cell));
    return;
  }
  const head = element("tr", {}, element("td"), ...names.map((name) => element("th", { scope: "col" }, element("span", {}, element("bdi", {}, name)))));
  const lines = names.map((name, one) => element("tr", {}, element("th", { scope: "row" }, element("bdi", {}, name)), ...names.map((_, two) => cell(one, two))));
  by("matrix").replaceChildren(element("thead", {}, head), element("tbody", {}, ...lines));
}

/* Of very many optimizers the first against each other one, a row each. */
function firstAgainst(names, cell) {
  const head = element("caption", {}, element("bdi", {}, names[0]), ` against each of the other ${names.length - 1}; every pair is in tables/pairs.tsv`);
  const lines = names.slice(1).map((other, at) => {
    const verdict = cell(0, at + 1), said = (verdict.firstChild?.title ?? "").split(": ").pop();
    return element("tr", {}, element("th", { scope: "row" }, element("bdi", {}, other)), verdict, element("td", { class: "words" }, said));
  });
  return [head, element("tbody", {}, ...lines)];
}

function pairCell(name, other, found, judged, choose) {
  if (!found) return element("td", {}, "");
  const [mark, word] = MARKS[found.verdict];
  const size = found.difference === null ? "" : `, difference in ${judged.figure} ${judged.percent ? (100 * found.difference).toPrecision(3) + " points" : shown(found.difference)}`;
  const text = `${name} against ${other}: ${word}${size}, p ${shown(found.p)} after correction, ${found.seeds} common seeds`;
  return element("td", {}, element("button", { type: "button", class: found.verdict, title: text, "aria-label": text, on: { click: () => { by("pair").textContent = text + "."; choose(); } } }, mark));
}
