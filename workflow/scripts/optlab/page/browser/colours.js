/* Light and dark: of the page, and of its pictures. */

const colours = { dark: false, printing: false };
const repaint = []; // what has to be drawn again when the colours change

function remembered(value) {
  try {
    if (value !== undefined) localStorage.setItem("optlab-theme", value);
    return localStorage.getItem("optlab-theme");
  } catch (refused) { return null; } // a page inside another one may remember nothing
}

function useColours() {
  const dark = colours.dark && !colours.printing;
  document.documentElement.classList.toggle("dark", dark);
  by("theme").setAttribute("aria-pressed", String(colours.dark));
  by("theme").textContent = colours.dark ? "Light" : "Dark";
  for (const paint of repaint) paint();
}

function watchColours() {
  const system = matchMedia("(prefers-color-scheme: dark)");
  const choose = () => { colours.dark = (remembered() || (system.matches ? "dark" : "light")) === "dark"; useColours(); };
  system.addEventListener("change", choose);
  by("theme").addEventListener("click", () => { remembered(colours.dark ? "light" : "dark"); colours.dark = !colours.dark; useColours(); });
  addEventListener("beforeprint", () => { colours.printing = true; useColours(); });
  addEventListener("afterprint", () => { colours.printing = false; useColours(); });
  choose();
}

const isDark = () => document.documentElement.classList.contains("dark");

function visible(colour) { // black and the darkest colours are made light on a dark page
  if (!isDark()) return colour;
  const parts = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
  const light = (0.3 * parts[0] + 0.6 * parts[1] + 0.1 * parts[2]) / 255;
  return light > 0.3 ? colour : "#" + parts.map((p) => Math.round(p + (235 - p) * 0.55).toString(16).padStart(2, "0")).join("");
}

function paintFigures(roots) {
  const [paper, ink, soft, line] = isDark() ? ["#16181c", "#ededed", "#b4b7bd", "#3d424a"] : ["#ffffff", "#1c1c1c", "#595959", "#e3e3e3"];
  for (const plot of roots) {
    Object.assign(plot, { background_fill_color: paper, border_fill_color: paper, outline_line_color: null });
    for (const axis of [...plot.below, ...plot.left]) {
      Object.assign(axis, { axis_label_text_color: ink, major_label_text_color: ink, axis_line_color: soft, major_tick_line_color: soft, minor_tick_line_color: null, axis_label_text_font_style: "normal" });
    }
    for (const grid of plot.center) if ("grid_line_color" in grid) grid.grid_line_color = line;
    for (const drawn of plot.renderers) if (drawn.name === "words") Object.assign(drawn.glyph, { text_color: ink, background_fill_color: paper, background_fill_alpha: 0.7 });
    for (const extra of plot.center) if (extra.name === "whiskers") { extra.line_color = soft; extra.upper_head.line_color = soft; extra.lower_head.line_color = soft; }
  }
}
