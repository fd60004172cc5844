// The page of one head: which one the address says, and the way to its neighbours.

WIDGETS.head = drawHeadPage;
WIDGETS.columns = drawColumns;

function drawHeadPage(block) {
  const { questions } = block.content;
  const asked = picker("motif", Object.keys(questions), readable);
  const heads = picker("head", [], (name) => name);
  const body = element("div", {});
  const before = element("button", { type: "button", onclick: () => step(-1) }, "‹ previous");
  const after = element("button", { type: "button", onclick: () => step(1) }, "next ›");
  const bar = element("div", { class: "controls headbar", role: "toolbar", tabindex: 0, "data-arrows": true, "aria-label": "heads; left and right arrow keys turn" },
    element("a", { href: addressOf("heads") }, "all heads"), element("label", {}, "Motif ", asked), element("label", {}, "Head ", heads), before, after);
  let shownAt = "";

  function place() {
    const [question, name] = PAGE.place ?? [];
    const known = question in questions ? question : Object.keys(questions)[0];
    const names = Object.keys(questions[known].heads);
    return [known, names.includes(name) ? name : names[0]];
  }
  /** The address follows at once for the next step, although the browser tells of its change later. */
  function go(question, name) {
    PAGE.place = [question, name];
    location.hash = addressOf("head", question, name);
  }
  function step(by) {
    const [question, name] = place();
    const names = Object.keys(questions[question].heads);
    go(question, names[(names.indexOf(name) + by + names.length) % names.length]);
  }
  function show() {
    const [question, name] = place();
    if (shownAt === `${question}/${name}`) return;
    shownAt = `${question}/${name}`;
    const { heads: all } = questions[question];
    asked.value = question;
    heads.replaceChildren(...Object.keys(all).map((each) => element("option", { value: each }, `${each}: ${all[each].verdict}`)));
    heads.value = name;
    forget(body);
    body.replaceChildren(
      element("h3", { class: "headname" }, `${name} for ${readable(question)}: ${all[name].told ?? "no verdict"}`),
      ...all[name].blocks.slice(0, 1).map(drawBlock), drawExamples(questions[question], question, name),
      element("div", { class: "pair" }, ...all[name].blocks.slice(1, -2).map(drawBlock)),
      ...all[name].blocks.slice(-2).map(drawBlock),
    );
  }
  asked.addEventListener("change", () => go(asked.value, place()[1]));
  heads.addEventListener("change", () => go(asked.value, heads.value));
  bar.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!by || event.target.closest("select")) return;
    event.preventDefault();
    step(by);
  });
  const listen = () => (bar.isConnected ? show() : window.removeEventListener("place", listen));
  window.addEventListener("place", listen);
  show();
  requestAnimationFrame(() => PAGE.place?.length && bar.focus({ preventScroll: true }));
  return element("div", {}, bar, body);
}

/** A row of a table with its columns side by side. */
function drawColumns(block) {
  const pairs = Object.entries(block.content.row).map(([key, value]) => element("div", {}, element("dt", {}, readable(key)), element("dd", {}, shown(value))));
  return framed(block, element("dl", { class: "cells" }, ...pairs));
}

function picker(label, values, readably) {
  return element("select", { "aria-label": label }, ...values.map((value) => element("option", { value }, readably(value))));
}

/** The example sequences of a question, with one head's attention. */
function drawExamples(page, question, name) {
  const title = "Sequences, with this head's attention over the bases";
  if (!page.examples.length) return drawBlock({ kind: "missing", what: "example sequences", advice: page.advice ?? "there is none" });
  const { received, patterns } = page.heads[name];
  const links = page.with_patterns.flatMap((each) => [" ", element("a", { href: addressOf("head", question, each) }, each)]);
  const rest = patterns.length ? null : element("p", { class: "quiet" }, "Where single tokens look was saved for the heads that are strongest by a criterion:", ...links);
  const drawn = page.examples.map((example, index) => drawAttended(example, received[index], patterns[index]));
  return framed({ kind: "examples", title, source: page.source, note: "Bars: attention to the token below. Bold and underlined: a site of the motif. Drawn at random among sequences with a site, and one negative without." }, element("div", {}, ...drawn, rest));
}
