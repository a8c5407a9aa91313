/* The speed-up over the number of processes. */

const SERIES = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];

function speeds(store, model) {
  const show = () => {
    const rows = store.scaling, groups = new Map();
    for (const row of rows) {
      const key = `${row.exercise}, ${row.model} on ${row.dataset}: ${row.scaling}, batch ${row.batch_size}`;
      groups.set(key, [...(groups.get(key) ?? []), row]);
    }
    const points = { x: [], y: [], low: [], high: [], color: [], text: [] }, lines = { xs: [], ys: [], color: [], dash: [] };
    [...groups].forEach(([key, group], number) => {
      const color = visible(SERIES[number % SERIES.length]);
      group.sort((a, b) => a.gpus - b.gpus);
      lines.xs.push(group.map((row) => row.gpus)); lines.ys.push(group.map((row) => row.speedup));
      lines.color.push(color); lines.dash.push(group[0].scaling === "strong" ? "solid" : group[0].scaling === "weak" ? "dotted" : "dashdot");
      for (const row of group) {
        points.x.push(row.gpus); points.y.push(row.speedup); points.color.push(color);
        points.low.push(row.speedup_low ?? row.speedup); points.high.push(row.speedup_high ?? row.speedup);
        points.text.push(`${key}: ${row.gpus} processes, ${shown(row.speedup)} times as fast`);
      }
    });
    const counts = [...new Set(rows.map((row) => row.gpus))].sort((a, b) => a - b);
    lines.xs.push(counts); lines.ys.push(counts); lines.color.push(isDark() ? "#999999" : "#777777"); lines.dash.push("dashed");
    model("speeds").data = points;
    model("ways_of_speed").data = lines;
    model("figure speed").below[0].ticker.ticks = counts;
  };
  repaint.push(show);
  show();
}
