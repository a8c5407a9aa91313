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
  const names = found.names;
  const head = element("tr", {}, element("td"), ...names.map((name) => element("th", { scope: "col" }, element("span", {}, element("bdi", {}, name)))));
  const lines = (found.whole ? names : names.slice(0, 1)).map((name, one) => element("tr", {}, element("th", { scope: "row" }, element("bdi", {}, name)),
    ...names.map((other, two) => pairCell(name, other, cells.get(`${one} ${two}`), found.figure, () => choose(found.optimizers[one], found.optimizers[two])))));
  by("matrix").replaceChildren(element("thead", {}, head), element("tbody", {}, ...lines));
}

function pairCell(name, other, found, figure, choose) {
  if (!found) return element("td", {}, "");
  const [mark, word] = MARKS[found.verdict], percent = figure.endsWith("accuracy");
  const size = found.difference === null ? "" : `, difference in ${figure.replace("_", " ")} ${percent ? (100 * found.difference).toPrecision(3) + " points" : shown(found.difference)}`;
  const text = `${name} against ${other}: ${word}${size}, p ${shown(found.p)} after correction, ${found.seeds} common seeds`;
  return element("td", {}, element("button", { type: "button", class: found.verdict, title: text, "aria-label": text, on: { click: () => { by("pair").textContent = text + "."; choose(); } } }, mark));
}
