// The circuit explorer: one graph, or two side by side, with what is wanted of their edges and which node is in focus.

WIDGETS.circuit = drawCircuit;
const OPENS_WITH = 150; // edges of a kind that a large graph opens with

function drawCircuit(block) {
  const graphs = block.content.graphs.map(readGraph);
  const hasQ = graphs.some((graph) => graph.links.some((link) => link.q !== null));
  const wanted = { hidden: new Set(), least: leastFor(graphs[0], OPENS_WITH), clear: true, arriving: true, q: null };
  let graph = graphs[0], other = null, focus = null, part = null, heard = false; // focus: the name of a node

  const drawing = element("div", { class: "plot circuit", role: "group", tabindex: 0, "data-arrows": true, "aria-label": `circuit ${graph.called}: arrow keys walk, Escape shows all` });
  const second = element("div", { class: "plot circuit", role: "group", "aria-label": "the graph beside it", hidden: true });
  const told = element("div", { class: "details", "aria-live": "polite" });
  const counted = element("p", { class: "quiet", role: "status" });
  const names = element("datalist", { id: `nodes-${Math.random().toString(36).slice(2)}` });
  const search = element("input", { type: "search", list: names.id, placeholder: "find a node", "aria-label": "find a node", autocomplete: "off" });
  const chooser = picker("graph", graphs.map((each) => each.name), (name) => open(graphs.find((each) => each.name === name), null));
  const beside = picker("compare with", ["", ...graphs.map((each) => each.name)], (name) => { other = graphs.find((each) => each.name === name) ?? null; refresh(); });

  function picker(label, options, onchange) {
    return element("select", { "aria-label": label, onchange: (event) => onchange(event.target.value) },
      ...options.map((name) => element("option", { value: name }, graphs.find((each) => each.name === name)?.called ?? "nothing")));
  }
  function box(label, checked, onchange, swatch) {
    const input = element("input", { type: "checkbox", checked, onchange: () => { onchange(input.checked); refresh(); } });
    return element("label", { class: "legend" }, input, swatch ? element("span", { class: `swatch ${swatch}` }) : null, ` ${label}`);
  }
  const hide = (name) => (checked) => void (checked ? wanted.hidden.delete(name) : wanted.hidden.add(name));
  const sliders = Object.entries(KINDS).map(([kind, label]) => {
    const input = element("input", { type: "range", min: 0, max: 100, step: 1, "data-kind": kind, "aria-label": `least size of edges ${label}` });
    const value = element("output", {});
    input.addEventListener("input", () => { wanted.least[kind] = (input.value / 100) ** 2; refresh(); });
    return { kind, label, input, value, whole: element("label", { class: "slider" }, box(label, true, hide(kind)), input, value) };
  });

  /** Number of the node in focus, where this graph has it. */
  const numberIn = (which) => which?.byId.get(focus) ?? null;

  /** Show what is wanted now; the drawing keeps its places and its zoom. */
  function refresh() {
    part = shownPart(graph, wanted, numberIn(graph));
    const shared = other ? new Set(other.nodes.map((node) => node.id)) : null;
    const together = second.hidden === !other;
    second.hidden = !other;
    plot(drawing, circuitFigure(graph, part, numberIn(graph), shared));
    if (!together) Plotly.Plots.resize(drawing); // it has half of the width now, or all of it again
    if (other) {
      plot(second, circuitFigure(other, shownPart(other, wanted, numberIn(other)), numberIn(other), new Set(graph.nodes.map((node) => node.id))));
      if (!heard) listen(second, () => other);
      heard = true;
    }
    for (const { kind, value, input, whole } of sliders) {
      whole.hidden = !graph.kinds.includes(kind);
      const share = wanted.least[kind] ?? 0;
      input.value = Math.round(Math.sqrt(share) * 100);
      const drawn = part.links.filter((link) => link.kind === kind).length;
      value.textContent = `≥ ${shown(share * (graph.largest[kind] ?? 0))} · ${drawn} of ${graph.links.filter((link) => link.kind === kind).length}`;
    }
    const common = other ? ` ${graph.nodes.filter((node) => shared.has(node.id)).length} nodes are in both graphs (orange rings).` : "";
    counted.textContent = `${part.links.length} of ${graph.links.length} edges and ${part.near ? part.near.size : part.nodes.size} of ${graph.nodes.length} nodes are shown.${common}`;
  }

  /** Put a node in focus, in whichever graph it is: what it reaches and what reaches it stay. `null` shows all. */
  function choose(id, address = true) {
    focus = id;
    search.value = "";
    refresh();
    const holder = [graph, other].find((which) => numberIn(which) !== null);
    told.replaceChildren(holder ? detailsIn(holder) : element("p", { class: "quiet" }, "No node is chosen."));
    if (address) setAddress();
  }
  const chooseIn = (which) => (number) => choose(which.nodes[number].id);
  const chooseLinkIn = (which) => (number) => told.replaceChildren(edgeDetails(which, which.links[number], chooseIn(which)));
  function detailsIn(which) {
    const number = numberIn(which);
    return nodeDetails(which, shownPart(which, wanted, number), number, chooseIn(which), chooseLinkIn(which));
  }
  function open(next, id, address = true) {
    graph = next;
    chooser.value = graph.name;
    sourceOf(frame, graph.source);
    wanted.least = leastFor(graph, OPENS_WITH);
    names.replaceChildren(...graph.nodes.map((node) => element("option", { value: node.id })));
    choose(graph.byId.has(id) ? id : null, address);
  }
  function setAddress() {
    const place = [document.getElementById("content").dataset.anchor, graph.name, ...(numberIn(graph) === null ? [] : [focus])];
    history.replaceState(null, "", addressOf(...place));
  }
  function follow() {
    if (!drawing.isConnected) return void window.removeEventListener("place", follow);
    const [name, id] = PAGE.place;
    open(graphs.find((each) => each.name === name) ?? graph, id, false);
  }

  function find() {
    const asked = search.value.trim().toLowerCase();
    const found = graph.nodes.findIndex((node) => node.id.toLowerCase() === asked);
    const near = found >= 0 ? found : graph.nodes.findIndex((node) => node.id.toLowerCase().includes(asked));
    if (asked && near >= 0) choose(graph.nodes[near].id);
    else if (asked) counted.textContent = `No node is called ${search.value}.`;
  }
  search.addEventListener("change", find);
  search.addEventListener("keydown", (event) => event.key === "Enter" && find());

  /** Arrows walk: along the strongest edge to either side, and along the column. */
  function walk(event) {
    if (event.key === "Escape") return void choose(null);
    if (!/^Arrow/.test(event.key)) return;
    event.preventDefault();
    const all = shownPart(graph, wanted, null), here = numberIn(graph), go = chooseIn(graph);
    if (here === null) return void (all.links.length && go(all.links[0].source));
    const along = { ArrowRight: ["source", "target"], ArrowLeft: ["target", "source"] }[event.key];
    if (along) {
      const link = all.links.find((each) => each[along[0]] === here); // edges stand by size
      if (link) go(link[along[1]]);
      return;
    }
    const column = [...all.nodes].filter((number) => graph.nodes[number].column === graph.nodes[here].column).sort((a, b) => graph.nodes[a].y - graph.nodes[b].y);
    const next = column[column.indexOf(here) + (event.key === "ArrowDown" ? 1 : -1)];
    if (next !== undefined) go(next);
  }
  drawing.addEventListener("keydown", walk);

  /** A click chooses an edge or a node of the graph that is drawn there; one on the node in focus lets it go. */
  function listen(target, which) {
    target.on("plotly_click", ({ points: [{ customdata: [what, number] }] }) => {
      const id = which().nodes[number]?.id;
      if (what === "edge") chooseLinkIn(which())(number);
      else choose(id === focus ? null : id);
    });
  }

  function save(format) {
    const name = `circuit_${fileName(graph.name)}`;
    if (format !== "json") return void Plotly.downloadImage(drawing, { format, filename: name, width: drawing.clientWidth, height: drawing.clientHeight, scale: format === "png" ? 2 : 1 });
    download(JSON.stringify(circuitFile(graph, part), null, 1), `${name}.json`, "application/json");
  }
  const button = (label, onclick) => element("button", { type: "button", onclick }, label);
  const fit = () => { for (const each of [drawing, second]) if (each.layout) Plotly.relayout(each, { "xaxis.range": [-0.08, graph.columns.length - 0.92], "yaxis.range": [1.0, 0] }); };
  const q = element("select", { "aria-label": "largest q", onchange: (event) => { wanted.q = event.target.value === "" ? null : Number(event.target.value); refresh(); } },
    element("option", { value: "" }, "any"), ...[0.25, 0.1, 0.05, 0.01].map((limit) => element("option", { value: limit }, `≤ ${limit}`)));

  whenShown(drawing, async () => {
    const [name, id] = PAGE.place ?? [];
    open(graphs.find((each) => each.name === name) ?? graph, id, false);
    listen(drawing, () => graph);
    window.addEventListener("place", follow);
  });
  const frame = framed(block, element("div", {},
    element("div", { class: "controls" },
      graphs.length > 1 ? element("label", {}, "Graph ", chooser) : null,
      graphs.length > 1 ? element("label", {}, "beside ", beside) : null,
      search, names, button("Whole graph", () => choose(null)), button("Fit", fit),
      button("PNG", () => save("png")), button("SVG", () => save("svg")), button("JSON", () => save("json"))),
    element("div", { class: "controls" },
      box("raises", true, hide("raises"), "raises"), box("lowers", true, hide("lowers"), "lowers"),
      box("error nodes", true, hide("error"), "error-node"),
      box("only intervals without 0", true, (checked) => { wanted.clear = checked; }),
      box("only on a way to the behaviour", true, (checked) => { wanted.arriving = checked; }),
      hasQ ? element("label", {}, "q ", q) : null),
    element("div", { class: "controls" }, ...sliders.map((slider) => slider.whole)),
    counted,
    element("div", { class: "circuits" }, drawing, second),
    told,
  ));
  return frame;
}
