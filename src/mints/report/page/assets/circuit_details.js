// What is known of a node or an edge of a circuit.

/** A node: its effect on the behaviour, its strongest edges, its sequences, and where else it is told of. */
function nodeDetails(graph, part, number, choose, chooseLink) {
  const node = graph.nodes[number], known = graph.latents[node.id];
  const effect = graph.links.find((link) => link.source === number && graph.nodes[link.target].kind === "behavior");
  const edges = (end, far, title) => {
    const links = part.links.filter((link) => link[end] === number).slice(0, 8);
    return element("div", {}, element("h5", {}, title), links.length === 0 ? element("p", { class: "quiet" }, "none that is shown") : element("ul", { class: "edges" }, ...links.map((link) => element("li", {},
      element("button", { type: "button", onclick: () => choose(link[far]) }, graph.nodes[link[far]].id),
      element("button", { type: "button", class: `weight ${link.weight < 0 ? "lowers" : "raises"}`, title: "details of this edge", onclick: () => chooseLink(link.number) }, `${shown(link.weight)}${intervalText(link)}`),
    ))));
  };
  const kind = MARKS[node.kind]?.name ?? node.kind;
  const page = node.kind === "feature" ? latentAddress(node.site, node.feature) : null;
  const facts = Object.entries(known?.facts ?? {}).map(([name, value]) => `${name} ${shown(value)}`).join(", ");
  return element("div", {},
    element("h4", {}, node.id),
    element("p", {}, `${kind[0].toUpperCase()}${kind.slice(1)}${node.site ? ` of ${node.site}` : ""}. `,
      effect ? `Effect on the behaviour: ${edgeSentence(effect)}. ` : "",
      facts ? `On test sequences, against ${known.asked}: ${facts}. ` : "",
      page ? element("a", { href: page }, "All about this latent") : null),
    element("div", { class: "sides" }, edges("target", "source", "Reached by"), edges("source", "target", "Reaches")),
    known?.examples?.length ? element("div", {}, element("h5", {}, "Where it is active"), sequenceList(known)) : null,
  );
}

function edgeSentence(link) {
  const parts = [`${shown(link.weight)}${intervalText(link)}`];
  if (link.q !== null) parts.push(`q = ${shown(link.q)}`);
  if (link.p !== null) parts.push(`p = ${shown(link.p)}`);
  if (link.null !== null) parts.push(`matched latents give ${shown(link.null)}`);
  if (link.estimate !== null) parts.push(`first-order estimate ${shown(link.estimate)}`);
  return parts.join(", ");
}

/** An edge: both ends, and every figure that there is. */
function edgeDetails(graph, link, choose) {
  const end = (number) => element("button", { type: "button", onclick: () => choose(number) }, graph.nodes[number].id);
  const clear = { true: "its interval is clear of 0", false: "its interval holds 0", null: "no interval was saved" }[String(link.clear)];
  return element("div", {},
    element("h4", {}, end(link.source), " → ", end(link.target)),
    element("p", {}, `Edge ${KINDS[link.kind] ?? link.kind}: ${edgeSentence(link)}; ${clear}. It is ${shown(link.size / graph.largest[link.kind])} of the largest of its kind.`),
  );
}
