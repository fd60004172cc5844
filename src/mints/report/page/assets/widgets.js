// Parts of the page with a script of their own, by the kind of their block. Each takes a block and gives an element.

const WIDGETS = { heads: drawHeads };

/** Maps of layers by heads that answer to one another: what is pointed at or chosen in one is so in all. */
function drawHeads(block) {
  const { question, panels, details } = block.content;
  const maps = panels.map((panel) => element("div", { class: "map plot", role: "group", "aria-label": panel.title }));
  const told = element("div", { class: "details", "aria-live": "polite" }, element("p", { class: "quiet" }, "No head is chosen."));
  const chooser = element("select", { "aria-label": "head" }, element("option", { value: "" }, "choose a head"),
    ...Object.keys(details).map((name) => element("option", { value: name }, name)));
  let chosen = "";

  function outline(at, mark) {
    const [layer, head] = at.slice(1).split("H").map(Number);
    return { type: "rect", x0: head - 0.5, x1: head + 0.5, y0: layer - 0.5, y1: layer + 0.5, line: { color: colour(mark), width: 3 } };
  }
  function marked(panel, hovered) {
    const shapes = [];
    panel.passes.forEach((row, layer) => row.forEach((passes, head) => {
      if (passes) shapes.push({ ...outline(`L${layer}H${head}`, "ink"), line: { color: colour("ink"), width: 2 } });
    }));
    if (chosen) shapes.push(outline(chosen, "accent"));
    if (hovered && hovered !== chosen) shapes.push({ ...outline(hovered, "quiet"), line: { color: colour("quiet"), width: 2, dash: "dot" } });
    return shapes;
  }
  const remark = (hovered) => maps.forEach((map, index) => map.layout && Plotly.relayout(map, { shapes: marked(panels[index], hovered) }));
  function choose(name) {
    chosen = name === chosen ? "" : name;
    chooser.value = chosen;
    remark("");
    told.replaceChildren(chosen ? headRow(question, chosen, details[chosen], panels) : element("p", { class: "quiet" }, "No head is chosen."));
  }
  chooser.addEventListener("change", () => { chosen = ""; choose(chooser.value); });

  maps.forEach((map, index) => whenShown(map, async () => {
    await plot(map, headChart(panels[index]));
    remark("");
    const at = (event) => `L${event.points[0].y}H${event.points[0].x}`;
    map.on("plotly_hover", (event) => remark(at(event)));
    map.on("plotly_unhover", () => remark(""));
    map.on("plotly_click", (event) => choose(at(event)));
  }));
  return framed(block, element("div", {}, element("div", { class: "controls" }, element("label", {}, "Head ", chooser)), element("div", { class: "maps" }, ...maps), told));
}

/** A number with two decimals, and no sign where they are 0. */
function twoDecimals(value) {
  return (Number(value.toFixed(2)) || 0).toFixed(2);
}

/** One map: the colours reach equally far to both sides of no effect; ratios are drawn as powers of two. */
function headChart(panel) {
  const ratio = panel.centre === 1;
  const scaled = (value) => (value === null ? null : ratio ? Math.log2(value) : value - panel.centre);
  const z = panel.values.map((row) => row.map(scaled));
  const limit = panel.threshold === null || panel.threshold === undefined ? 0 : Math.abs(scaled(panel.threshold));
  const reach = Math.max(limit, ...z.flat().filter((value) => value !== null).map(Math.abs)) || 1;
  const few = panel.values.length * panel.values[0].length <= 256;
  const text = panel.values.map((row, layer) => row.map((value, head) => (value === null ? "" : few ? twoDecimals(value) : "")));
  const custom = panel.values.map((row, layer) => row.map((value, head) => [shown(value), shown(panel.low[layer][head]), shown(panel.high[layer][head])]));
  const ticks = [-reach, 0, reach];
  return {
    title: panel.title, height: Math.max(220, 90 + 34 * Math.min(panel.values.length, 24)),
    data: [{
      type: "heatmap", z, text, texttemplate: few ? "%{text}" : undefined, textfont: { size: 11 }, customdata: custom, xgap: 2, ygap: 2,
      zmin: -reach, zmax: reach, colorscale: [[0, "#a6611a"], [0.25, "#dfc27d"], [0.5, "#f5f5f5"], [0.75, "#80cdc1"], [1, "#018571"]],
      colorbar: { thickness: 10, tickvals: ticks, ticktext: ticks.map((tick) => (ratio ? (2 ** tick).toFixed(2) : (tick + panel.centre).toFixed(2))), outlinewidth: 0 },
      hovertemplate: `layer %{y}, head %{x}<br>${panel.label} %{customdata[0]} [%{customdata[1]}, %{customdata[2]}]<extra></extra>`,
    }],
    layout: {
      title: { text: panel.title, font: { size: 13 }, x: 0, xanchor: "left", xref: "paper" },
      margin: { t: 34, l: 44, r: 8, b: 40 },
      xaxis: { title: { text: "head" }, dtick: panel.values[0].length > 16 ? 4 : 1, showgrid: false, zeroline: false, fixedrange: true },
      yaxis: { title: { text: "layer" }, dtick: panel.values.length > 16 ? 4 : 1, autorange: "reversed", showgrid: false, zeroline: false, fixedrange: true },
    },
  };
}

/** Everything that is known of one head, criterion by criterion. */
function headRow(question, name, row, panels) {
  const criteria = panels.map((panel) => {
    const value = `${shown(row[panel.value])} [${shown(row[`${panel.value}_low`])}, ${shown(row[`${panel.value}_high`])}]`;
    const registered = panel.threshold === null || panel.threshold === undefined ? "" : `, registered ${shown(panel.threshold)}`;
    return element("li", {}, element("strong", {}, `${panel.title}: `), `${panel.label} ${value}${registered}`);
  });
  const rest = Object.entries(row).filter(([key]) => !["layer", "head", "verdict"].includes(key));
  return element("div", {},
    element("h4", {}, `${name}: ${row.verdict || "no verdict"}`),
    element("ul", {}, ...criteria),
    PAGE.views.some((view) => view.anchor === "head") ? element("p", {}, element("a", { href: addressOf("head", question, name) }, `The page of ${name}`)) : null,
    element("details", {}, element("summary", {}, "all columns"), element("dl", { class: "columns" }, ...rest.flatMap(([key, value]) => [element("dt", {}, readable(key)), element("dd", {}, shown(value))]))),
  );
}
