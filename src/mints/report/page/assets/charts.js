// Plotly figures in the page's colours, each with a link to the file that it was made from.

const CHARTS = new Map(); // element → the block that it shows, to be drawn anew in other colours
const WAITING = new Map(); // element → what draws it once it is near the screen

/** Draw when the element comes near the screen: a page of many figures opens at once. */
function whenShown(target, draw) {
  WAITING.set(target, draw);
  SHOWN.observe(target);
}

/** Let go of the figures inside an element that is to be replaced, drawn or not. */
function forget(container) {
  for (const target of [...WAITING.keys()].filter((each) => container.contains(each))) {
    WAITING.delete(target);
    SHOWN.unobserve(target);
  }
  for (const target of [...CHARTS.keys()].filter((each) => container.contains(each))) {
    CHARTS.delete(target);
    Plotly.purge(target);
  }
  for (const table of [...TABLES.keys()].filter((each) => container.contains(each))) TABLES.delete(table);
}

/** What all figures share; a figure's own layout goes over it. */
function houseLayout(height) {
  const axis = {
    gridcolor: colour("line"), linecolor: colour("quiet"), zerolinecolor: colour("line"), tickcolor: colour("quiet"),
    automargin: true, title: { standoff: 8 },
  };
  return {
    height,
    font: { family: "system-ui, sans-serif", size: 12, color: colour("ink") },
    paper_bgcolor: colour("paper"), plot_bgcolor: "rgba(0,0,0,0)",
    margin: { l: 56, r: 16, t: 16, b: 44 },
    hoverlabel: { bgcolor: colour("raised"), bordercolor: colour("line"), font: { color: colour("ink") } },
    legend: { orientation: "h", y: -0.25, yanchor: "top" },
    xaxis: axis, yaxis: axis,
    modebar: { color: colour("quiet"), activecolor: colour("accent"), bgcolor: "rgba(0,0,0,0)" },
  };
}

/** `over` on top of `base`, object by object. */
function merged(base, over) {
  const made = { ...base };
  for (const [key, value] of Object.entries(over)) {
    const both = value && typeof value === "object" && !Array.isArray(value) && made[key] && typeof made[key] === "object";
    made[key] = both ? merged(made[key], value) : value;
  }
  return made;
}

/** A name with its middle left out where it would leave no room for the figure; each line of it for itself. */
function shortened(name, longest) {
  const line = (text) => {
    const letters = text.match(/&#?\w+;|./gsu) ?? []; // one that is written as an entity is one
    return letters.length <= longest ? text : [...letters.slice(0, longest - 11), "…", ...letters.slice(-10)].join("");
  };
  return name.split("<br>").map(line).join("<br>");
}

/** A figure's layout, on paper of the sheet's width; axes beyond the first take the look of the first. */
function layoutOf(block, target, longest) {
  const house = houseLayout(onPaper() ? Math.min(block.height, TALLEST) : block.height);
  if (onPaper()) house.width = target.clientWidth;
  const own = painted(block.layout);
  for (const name of Object.keys(own)) {
    if (/^[xy]axis\d+$/.test(name)) house[name] = house.xaxis;
  }
  const made = merged(house, own);
  for (const name of Object.keys(made).filter((each) => /^[xy]axis\d*$/.test(each))) {
    const long = block.data.flatMap((trace) => trace[name[0]] ?? []).filter((each) => typeof each === "string" && each.length > longest);
    const labelalias = Object.fromEntries(long.map((each) => [each, shortened(each, longest)]));
    const ticktext = made[name].ticktext?.map((each) => shortened(each, longest));
    made[name] = { ...made[name], labelalias, ...(ticktext && { ticktext }) };
  }
  return made;
}

const CONFIG = {
  responsive: true, displaylogo: false,
  showSendToCloud: false, plotlyServerURL: "", // else a button uploads the figure
  modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"],
  toImageButtonOptions: { format: "svg", scale: 2 },
};

/** Draw a Plotly figure into an element of the page; gives what Plotly promises. */
function plot(target, block) {
  CHARTS.set(target, block);
  const longest = target.clientWidth < 600 ? 40 : 64; // letters; pointing, tables and files have all of them
  const data = painted(block.data).map((trace) => (trace.name ? { ...trace, name: shortened(trace.name, longest) } : trace));
  return Plotly.react(target, data, layoutOf(block, target, longest), {
    ...CONFIG, toImageButtonOptions: { ...CONFIG.toImageButtonOptions, filename: fileName(block.title) },
  });
}

/** A title as a file may be called. */
function fileName(title) {
  return title.toLowerCase().replace(/[^a-z0-9]+/g, "_").replace(/^_|_$/g, "");
}

/** Give a text to the reader as a file. */
function download(text, file, type) {
  const address = URL.createObjectURL(new Blob([text], { type }));
  element("a", { href: address, download: file }).click();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
}

/** The frame of anything that stems from an artifact: heading, the thing, what to know of it, where it comes from. */
function framed(block, inside) {
  return element(
    "figure", { class: `block ${block.kind}` },
    block.title ? element("h3", {}, block.title) : null,
    inside,
    element(
      "figcaption", {},
      block.note ? element("span", { class: "note" }, block.note + " ") : null,
      block.latents ? latentLinks(block.latents) : null,
      block.source ? element("a", { class: "source", href: `../${encodeURI(block.source)}` }, block.source) : null,
    ),
  );
}

/** Let a frame link to another artifact: where a reader chooses what is shown. */
function sourceOf(frame, name) {
  const link = frame.querySelector(":scope > figcaption a.source");
  link.href = `../${encodeURI(name)}`;
  link.textContent = name;
}

function drawChart(block) {
  const least = block.layout.meta?.least; // a figure that needs this width scrolls on a narrow screen
  const target = element("div", { class: "plot", role: "group", "aria-label": block.title, style: least ? `min-width:${least}px` : null });
  whenShown(target, () => plot(target, block));
  return framed(block, least ? element("div", { class: "scroll" }, target) : target);
}

/** Draw all figures anew: in other colours, or in another width. */
function redrawCharts() {
  for (const [target, block] of CHARTS) if (target.isConnected) plot(target, block);
}

dark.addEventListener("change", redrawCharts);
