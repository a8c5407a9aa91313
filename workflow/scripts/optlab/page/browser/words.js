"use strict";
/* What all parts of the page use: elements, numbers in words, limits. */

const by = (id) => document.getElementById(id);

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "on") for (const [event, action] of Object.entries(value)) made.addEventListener(event, action);
    else if (key === "class") made.className = value;
    else made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

function shown(value, kind) {
  if (value === null || value === undefined || value === "") return "";
  if (typeof value !== "number") return String(value);
  if (kind === "percent") return (100 * value).toFixed(2) + " %";
  if (value === 0 || Number.isInteger(value)) return String(value);
  const size = Math.abs(value);
  return size >= 1e5 || size < 1e-3 ? value.toExponential(3).replace(/\.?0+e/, "e").replace("e+", "e") : String(+value.toPrecision(4));
}

// The smallest of these numbers that is above 0.
const lowest = (numbers) => numbers.reduce((a, b) => (b > 0 && b < a ? b : a), Infinity);
const cut = (text) => (text.length > 18 ? text.slice(0, 17) + "…" : text);
const thinned = (found) => (found.length <= 20 ? found : found.filter((_, i) => i % Math.ceil(found.length / 20) === 0));

/* The limits of what is drawn: Tukey's outer fences, in logarithms for a loss. */
function fences(cells, logarithmic) {
  const known = cells.filter((value) => Number.isFinite(value) && (value > 0 || !logarithmic));
  if (known.length < 4) return [-Infinity, Infinity];
  const sorted = known.map((value) => (logarithmic ? Math.log(value) : value)).sort((a, b) => a - b);
  const quantile = (share) => sorted[Math.round(share * (sorted.length - 1))];
  const reach = 3 * (quantile(0.75) - quantile(0.25));
  if (reach < 1e-9) return [-Infinity, Infinity]; // most are equal
  const limits = [quantile(0.25) - reach, quantile(0.75) + reach];
  return logarithmic ? limits.map(Math.exp) : limits;
}
