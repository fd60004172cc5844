// Colours of the page, light and dark, as its style sheet has them, and what has to be drawn anew when they change.

const dark = window.matchMedia("(prefers-color-scheme: dark)");

/** Value of a colour of the style sheet: `ink`, `quiet`, `line`, `paper`, `accent`, … */
function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

/** Colours of Okabe and Ito (2008), which colour-blind readers can tell apart; named in a chart as `@blue`. */
const PALETTE = {
  "@blue": () => colour("blue"),
  "@vermillion": () => colour("vermillion"),
  "@green": () => colour("green"),
  "@purple": () => colour("purple"),
  "@orange": () => colour("orange"),
  "@ink": () => colour("ink"),
  "@quiet": () => colour("quiet"),
  "@faint": () => colour("line"),
};

/** A copy of a chart's value in which every named colour is the page's. */
function painted(value) {
  if (Array.isArray(value)) return typeof value[0] === "number" ? value : value.map(painted); // coordinates have no colours
  if (value && typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, painted(inner)]));
  }
  return typeof value === "string" && value in PALETTE ? PALETTE[value]() : value;
}

/** Bytes that the page carries as base64, by the name of their element. */
function carried(name) {
  return Uint8Array.from(atob(document.getElementById(name).textContent), (letter) => letter.charCodeAt(0));
}

/** An element with attributes and children; text is never read as markup. */
function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value === true) made.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

/** A number as a reader wants it: three significant digits, no trailing noise. */
function shown(value) {
  if (value === null || value === undefined) return "–";
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value !== "number") return String(value);
  if (Number.isInteger(value)) return value.toLocaleString("en");
  const size = Math.abs(value);
  return size >= 1000 || size < 0.001 ? value.toExponential(2) : value.toPrecision(3);
}
