// A circuit as numbers: which edges are shown, what reaches what, and the traces that draw it. Nothing here touches the page.

const KINDS = { "feat->behavior": "to the behaviour", "feat->feat": "between latents" };
const BINS = 3; // widths of lines: one trace for each, whatever the number of edges

/** A name as Plotly shows it letter by letter: it reads some markup, and knows few entities. */
function plotText(name) {
  return element("i", {}, name).innerHTML;
}

/** Edges as objects, and the largest |weight| of each kind. */
function readGraph(graph) {
  if (graph.links) return graph;
  for (const node of graph.nodes) {
    node.text = plotText(node.id);
    node.hover = node.importance === null || node.importance === undefined ? node.text : `${node.text}<br>effect on the behaviour ${shown(node.importance)}`;
  }
  graph.links = graph.edges.map((row, number) => {
    const link = Object.fromEntries(graph.fields.map((field, place) => [field, row[place]]));
    const size = Math.abs(link.weight);
    const clear = link.low === null || link.high === null ? null : link.low > 0 || link.high < 0;
    const text = `${graph.nodes[link.source].text} → ${graph.nodes[link.target].text}<br>${shown(link.weight)}${intervalText(link)}`;
    return { ...link, number, size, clear, text };
  });
  graph.kinds = [...new Set(graph.links.map((link) => link.kind))];
  graph.largest = Object.fromEntries(graph.kinds.map((kind) => [kind, Math.max(...graph.links.filter((link) => link.kind === kind).map((link) => link.size))]));
  graph.byId = new Map(graph.nodes.map((node, number) => [node.id, number]));
  return graph;
}

/** Edges that pass: of a wanted kind and sign, large enough for their kind, clear of 0 where that is asked for, and of small q. */
function passing(graph, wanted) {
  return graph.links.filter((link) =>
    !wanted.hidden.has(link.kind) && !wanted.hidden.has(link.weight < 0 ? "lowers" : "raises")
    && link.size >= (wanted.least[link.kind] ?? 0) * graph.largest[link.kind]
    && (!wanted.clear || link.clear !== false)
    && (wanted.q === null || link.q === null || link.q <= wanted.q)
    && !(wanted.hidden.has("error") && [link.source, link.target].some((end) => graph.nodes[end].kind === "error")));
}

/** Numbers of the nodes from which `start` is reached (`source`), or that it reaches (`target`), itself among them. */
function reach(links, start, towards) {
  const from = towards === "target" ? "source" : "target";
  const next = new Map();
  for (const link of links) {
    if (!next.has(link[from])) next.set(link[from], []);
    next.get(link[from]).push(link[towards]);
  }
  const reached = new Set([start]);
  for (const node of reached) for (const other of next.get(node) ?? []) reached.add(other);
  return reached;
}

/** What is drawn: edges that pass and lie on a way to the behaviour, or those around the node in focus. */
function shownPart(graph, wanted, focus) {
  let links = passing(graph, wanted);
  if (wanted.arriving) {
    const end = graph.nodes.findIndex((node) => node.kind === "behavior");
    const arriving = end < 0 ? null : reach(links, end, "source");
    if (arriving) links = links.filter((link) => arriving.has(link.target) && arriving.has(link.source));
  }
  const nodes = new Set(links.flatMap((link) => [link.source, link.target]));
  if (focus === null) return { links, nodes, near: null };
  const before = reach(links, focus, "source"), after = reach(links, focus, "target");
  const near = new Set([...before, ...after]);
  nodes.add(focus);
  const around = links.filter((link) => (before.has(link.source) && before.has(link.target)) || (after.has(link.source) && after.has(link.target)));
  return { links: around, nodes, near };
}

/** A share for each kind at which about so many of its edges remain: what a large graph opens with. */
function leastFor(graph, most) {
  return Object.fromEntries(graph.kinds.map((kind) => {
    const sizes = graph.links.filter((link) => link.kind === kind && link.clear !== false).map((link) => link.size).sort((a, b) => b - a);
    return [kind, sizes.length > most ? Math.floor(Math.sqrt(sizes[most - 1] / graph.largest[kind]) * 100) / 100 : 0];
  }).map(([kind, root]) => [kind, root * root]));
}

/** Lines by kind, sign and width, one path for all of a class: a line of its own for each edge would take ten times as long. */
function edgeShapes(graph, links) {
  const kinds = Object.keys(KINDS), paths = new Map();
  for (const link of links) {
    const from = graph.nodes[link.source], to = graph.nodes[link.target];
    const bin = Math.min(BINS - 1, Math.floor(BINS * Math.sqrt(link.size / graph.largest[link.kind])));
    const look = (Math.max(0, kinds.indexOf(link.kind)) * 2 + (link.weight < 0 ? 1 : 0)) * BINS + bin;
    if (!paths.has(look)) paths.set(look, []);
    paths.get(look).push(`M${from.x},${from.y}L${to.x},${to.y}`);
  }
  return [...paths].sort(([a], [b]) => a - b).map(([look, path]) => {
    const bin = look % BINS, lowers = Math.floor(look / BINS) % 2 === 1, toBehaviour = kinds[Math.floor(look / BINS / 2)] === "feat->behavior";
    return {
      type: "path", path: path.join(""), layer: "below", opacity: 0.3 + 0.22 * bin + (toBehaviour ? 0.2 : 0),
      line: { color: lowers ? "@vermillion" : "@blue", width: 0.8 + 1.7 * bin + (toBehaviour ? 0.6 : 0) },
    };
  });
}

/** What is pointed at of an edge: a place along its line, apart from those of its neighbours. */
function edgeMiddles(graph, links) {
  const along = (link) => 0.3 + 0.4 * ((link.number * 0.618034) % 1);
  const between = (link, axis) => graph.nodes[link.source][axis] + along(link) * (graph.nodes[link.target][axis] - graph.nodes[link.source][axis]);
  return {
    type: "scatter", mode: "none", showlegend: false, hovertemplate: "%{text}<extra></extra>",
    x: links.map((link) => between(link, "x")), y: links.map((link) => between(link, "y")),
    customdata: links.map((link) => ["edge", link.number]), text: links.map((link) => link.text),
  };
}

function intervalText(link) {
  return link.low === null || link.high === null ? "" : ` [${shown(link.low)}, ${shown(link.high)}]`;
}

/** What stands beside a node: its number within the site, or the behaviour's name. */
function nodeLabel(node, graph) {
  if (node.kind === "behavior") return plotText(graph.called);
  return plotText(node.id.slice(node.id.indexOf(":") + 1));
}

const MARKS = {
  feature: { name: "latent", symbol: "circle", colour: "@ink" },
  error: { name: "error node (what the dictionary leaves out)", symbol: "diamond", colour: "@quiet" },
  behavior: { name: "behaviour", symbol: "square", colour: "@green" },
};
const ROOM = 120, NAMED = 30; // nodes beyond which names have no room, and how many then are written: those at the largest edges

/** Nodes whose names are written: those near the focus, or all, as far as there is room. */
function namedNodes(graph, part, chosen) {
  const size = new Map();
  for (const link of part.links) {
    for (const end of [link.source, link.target]) size.set(end, Math.max(size.get(end) ?? 0, link.size / graph.largest[link.kind]));
  }
  const behaviours = [...part.nodes].filter((number) => graph.nodes[number].kind === "behavior");
  const others = [...(part.near ?? part.nodes)].filter((number) => part.nodes.has(number)).sort((a, b) => (size.get(b) ?? 0) - (size.get(a) ?? 0));
  return new Set([...behaviours, ...(chosen === null ? [] : [chosen]), ...others.slice(0, others.length > ROOM ? NAMED : ROOM)]);
}

/** Nodes by kind, rings around those of the other graph and the chosen one, and names. */
function nodeTraces(graph, part, chosen, shared) {
  const last = Math.max(...graph.nodes.map((node) => node.column));
  const strongest = Math.max(...graph.nodes.map((node) => Math.abs(node.importance ?? 0))) || 1;
  const at = (numbers) => ({ x: numbers.map((number) => graph.nodes[number].x), y: numbers.map((number) => graph.nodes[number].y) });
  const common = { type: "scatter", showlegend: false, cliponaxis: false };
  const traces = Object.entries(MARKS).map(([kind, mark]) => {
    const numbers = [...part.nodes].filter((number) => graph.nodes[number].kind === kind);
    const nodes = numbers.map((number) => graph.nodes[number]);
    return {
      ...common, ...at(numbers), mode: "markers",
      customdata: numbers.map((number) => ["node", number]),
      hovertext: nodes.map((node) => node.hover),
      hovertemplate: "%{hovertext}<extra></extra>",
      marker: {
        symbol: mark.symbol, color: mark.colour,
        size: kind === "behavior" ? 16 : nodes.map((node) => 7 + 7 * Math.sqrt(Math.abs(node.importance ?? 0) / strongest)),
        opacity: part.near ? numbers.map((number) => (part.near.has(number) ? 1 : 0.2)) : 1,
      },
    };
  });
  const ring = (numbers, size, color) => ({
    ...common, ...at(numbers), mode: "markers", hoverinfo: "skip", marker: { symbol: "circle-open", size, color, line: { width: 2.5 } },
  });
  const both = [...part.nodes].filter((number) => shared?.has(graph.nodes[number].id));
  const named = [...namedNodes(graph, part, chosen)];
  const names = {
    ...common, ...at(named), mode: "text", hoverinfo: "skip", textfont: { size: 11, shadow: `0 0 3px ${colour("paper")}, 0 0 3px ${colour("paper")}, 0 0 2px ${colour("paper")}` },
    text: named.map((number) => nodeLabel(graph.nodes[number], graph)),
    textposition: named.map((number) => ({ 0: "middle left", [last]: "top center" })[graph.nodes[number].column] ?? "middle right"),
  };
  // Room between a name and its mark.
  const apart = { "middle left": (text) => `${text}\u2003`, "middle right": (text, number) => `\u2003${number === chosen ? "\u2003" : ""}${text}`, "top center": (text) => `${text}<br>\u2003` };
  names.text = names.text.map((text, place) => apart[names.textposition[place]](text, named[place]));
  return [...traces, ring(both, 19, "@orange"), ring(chosen === null ? [] : [chosen], 25, "@green"), names];
}

/** The figure of what is shown; axes never change with it. */
function circuitFigure(graph, part, chosen, shared) {
  const fullest = Math.max(...graph.columns.map((_, column) => graph.nodes.filter((node) => node.column === column).length));
  const headings = graph.columns.map((text, layer) => ({
    x: layer, y: 1.0, yref: "paper", yanchor: "bottom", xanchor: layer === 0 ? "left" : layer === graph.columns.length - 1 ? "right" : "center",
    text: plotText(text.replace(/^blocks\.(\d+)\./, "layer $1\n").replace("hook_", "")).replace("\n", "<br>"), showarrow: false, font: { color: "@quiet", size: 11 },
    xshift: layer === 0 ? -40 : layer === graph.columns.length - 1 ? 44 : 0,
  }));
  return {
    title: `circuit ${graph.name}`, height: Math.min(820, Math.max(420, 16 * fullest + 70)),
    data: [edgeMiddles(graph, part.links), ...nodeTraces(graph, part, chosen, shared)],
    layout: {
      uirevision: graph.name, hovermode: "closest", dragmode: "pan", showlegend: false, annotations: headings, shapes: edgeShapes(graph, part.links),
      margin: { l: 56, r: 56, t: 48, b: 12 },
      xaxis: { visible: false, range: [-0.08, graph.columns.length - 0.92] },
      yaxis: { visible: false, range: [1.0, 0] },
    },
  };
}

/** What is shown, in the schema of the graph's own file. */
function circuitFile(graph, part) {
  const known = ([, value]) => value !== null && value !== "";
  const node = ({ id, kind, layer, site, feature, importance }) => Object.fromEntries(Object.entries({ id, kind, layer, site, feature, importance }).filter(known));
  const edge = (link) => ({
    src: graph.nodes[link.source].id, dst: graph.nodes[link.target].id, weight: link.weight, kind: link.kind, low: link.low, high: link.high, q: link.q,
  });
  const used = new Set(part.links.flatMap((link) => [link.source, link.target]));
  return { meta: graph.meta, nodes: [...used].sort((a, b) => a - b).map((number) => node(graph.nodes[number])), edges: part.links.map(edge) };
}
