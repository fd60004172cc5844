// Sequences letter by letter: a bar for the activation, and colours for what the latent marks and what is annotated.

WIDGETS.sequences = (block) => framed(block, sequenceList(block.content));
const AROUND = 22, TOP_LETTERS = 10; // letters on either side of the peak; letters that are framed

/** Sequences of one latent. content: examples, and `asked`: the annotation that is held against the latent at first. */
function sequenceList(content) {
  const { examples } = content;
  const largest = Math.max(...examples.flatMap((each) => each.active.map(([, , value]) => value)), 1e-9);
  const concepts = [...new Set(examples.flatMap((each) => each.marks.map(([, , concept]) => concept)))].sort();
  const short = new Map(concepts.map((concept) => [concept, concept.replace(/^[^/]*\//, "")]));
  let asked = concepts.includes(content.asked) ? content.asked : concepts[0] ?? "", whole = false;
  const list = element("div", { class: "sequences" });
  const draw = () => list.replaceChildren(...examples.map((each) => sequenceRow(each, asked, whole, largest, short)));
  const concept = element("select", { "aria-label": "annotation", onchange: (event) => { asked = event.target.value; draw(); } },
    ...concepts.map((name) => element("option", { value: name, selected: name === asked }, short.get(name))));
  const length = element("input", { type: "checkbox", onchange: () => { whole = length.checked; draw(); } });
  draw();
  const legend = ["latent", "annotated", "both", "top"].map((name) => element("span", { class: "legend" }, element("span", { class: `swatch ${name}` }), { latent: "latent", annotated: "annotated", both: "both", top: `${TOP_LETTERS} highest` }[name]));
  return element("div", {},
    element("div", { class: "controls" }, concepts.length ? element("label", {}, "annotation ", concept) : null,
      element("label", {}, length, " whole sequences"), ...legend),
    list);
}

/** One sequence: name, strongest activation, its letters, and what lies there. */
function sequenceRow(each, asked, whole, largest, short) {
  const track = new Array(each.sequence.length).fill(0);
  for (const [start, end, value] of each.active) for (let at = start; at < end && at < track.length; at++) track[at] = value;
  const peak = track.indexOf(Math.max(...track));
  const [from, to] = whole ? [0, track.length] : [Math.max(0, peak - AROUND), Math.min(track.length, peak + AROUND + 1)];
  const annotated = new Array(track.length).fill(false);
  for (const [start, end, concept] of each.marks) if (concept === asked) annotated.fill(true, start, end);
  const top = new Set(track.map((value, at) => [value, at]).filter(([value]) => value > 0).sort((a, b) => b[0] - a[0] || a[1] - b[1]).slice(0, TOP_LETTERS).map(([, at]) => at));
  const letters = [];
  for (let at = from; at < to; at++) {
    const fires = track[at] > 0 && track[at] >= each.threshold;
    const classes = [fires && annotated[at] ? "both" : fires ? "latent" : annotated[at] ? "annotated" : "", top.has(at) ? "top" : ""].filter(Boolean).join(" ");
    const over = each.marks.filter(([start, end]) => start <= at && at < end).map(([, , concept]) => short.get(concept));
    const attributes = { title: `${at + 1} ${each.sequence[at]}: ${shown(track[at])}${over.length ? ` · ${over.join(", ")}` : ""}` };
    if (classes) attributes.class = classes;
    if (track[at] > 0) attributes.style = `--a:${(track[at] / largest).toFixed(3)}`;
    if (at % 20 === 19) attributes["data-at"] = at + 1;
    letters.push(element("i", attributes, each.sequence[at]));
  }
  const places = each.marks.filter(([start, end]) => start < to && end > from).map(([start, end, concept]) => `${short.get(concept)} ${start + 1}–${end}`);
  return element("div", { class: "sequence" },
    element("p", {}, element("strong", {}, each.name), element("span", { class: "quiet" }, ` ${readable(each.kind)} · largest ${shown(Math.max(...track))} · mask from ${shown(each.threshold)} · letters ${from + 1}–${to} of ${track.length}`)),
    element("div", { class: "letters", role: "img", "aria-label": `${each.name}: activation along letters ${from + 1} to ${to}` }, ...letters),
    places.length ? element("p", { class: "quiet places" }, places.join(" · ")) : null);
}
