/* The filter of the runs: words of their settings, and conditions such as lr>0.01. */

function filter(query, { values, text }) {
  const tests = query.trim().split(/\s+/).filter(Boolean).map((word) => {
    const found = word.match(/^(\w+)(>=|<=|>|<|=)(.+)$/);
    if (!found || !(found[1] in values)) return (run) => (text[run] + " " + values.status[run]).toLowerCase().includes(word.toLowerCase());
    const [, name, sign, wanted] = found, cells = values[name];
    const number = Number(wanted);
    return (run) => {
      const cell = cells[run];
      if (cell === null) return false;
      if (sign === "=") return String(cell) === wanted || Number(cell) === number;
      const value = Number(cell);
      return { ">": value > number, "<": value < number, ">=": value >= number, "<=": value <= number }[sign];
    };
  });
  return (run) => tests.every((test) => test(run));
}
