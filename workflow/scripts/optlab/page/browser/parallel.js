/* Parallel coordinates: for each axis a function from a row to its height. */

function parallel(rows, axes) {
  const words = { x: [], y: [], text: [], align: [] };
  const say = (x, y, text, align) => { words.x.push(x); words.y.push(y); words.text.push(text); words.align.push(align); };
  const of = axes.map((axis, x) => {
    const found = [...new Set(rows.map(axis.cell).filter((value) => value !== null && value !== ""))];
    const numbers = found.length && found.every((value) => typeof value === "number");
    const low = numbers ? found.reduce((a, b) => Math.min(a, b)) : 0, high = numbers ? found.reduce((a, b) => Math.max(a, b)) : 0;
    const least = lowest(found), log = numbers && low >= 0 && high / least >= 20;
    const scale = log ? (value) => Math.log(value || least / 10) : Number; // 0 has no logarithm
    if (!numbers) found.sort((a, b) => String(b).localeCompare(String(a)));
    else found.sort((a, b) => a - b);
    const span = scale(high) - scale(low);
    const height = (value) => {
      const share = numbers ? (span ? (scale(value) - scale(low)) / span : 0.5) : found.length > 1 ? found.indexOf(value) / (found.length - 1) : 0.5;
      return axis.falling ? 1 - share : share;
    };
    say(x, 1.08, axis.label, "center");
    const ends = !numbers || (found.length <= 8 && !axis.result) ? thinned(found) : [low, high];
    for (const value of ends) say(x, height(value), cut(shown(axis.true ? axis.true(value) : value, axis.kind)), "left");
    if (rows.some((run) => [null, ""].includes(axis.cell(run)))) say(x, -0.08, axis.result ? "no figure" : "has none", "left");
    return (run) => { const value = axis.cell(run); return value === null || value === "" ? -0.08 : height(value); };
  });
  return { xs: axes.map((_, x) => x), of, words };
}

function fit(place, plot, axes) {
  Object.assign(plot.x_range, { start: -0.4, end: axes - 0.4 });
  by(place).style.minWidth = `${80 * axes}px`; // on a narrow screen it is moved sideways
}
