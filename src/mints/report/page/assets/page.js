// The page itself: chapters, what is shown of them, and the address of each.

const PAGE = JSON.parse(document.getElementById("data").textContent);
const SHOWN = new IntersectionObserver((entries) => {
  for (const entry of entries) if (entry.isIntersecting) drawNow(entry.target);
}, { rootMargin: "400px" });

const DRAWING = new Set(); // promises of what is being drawn

/** Draw what was waiting for its element to come near the screen. */
function drawNow(target) {
  const draw = WAITING.get(target);
  WAITING.delete(target);
  SHOWN.unobserve(target);
  const drawn = Promise.resolve(draw?.()).finally(() => DRAWING.delete(drawn));
  DRAWING.add(drawn);
}

/** Draw everything of the chapter, and wait for what is being drawn already. */
function drawAll() {
  [...WAITING.keys()].filter((target) => target.isConnected).forEach(drawNow);
  return Promise.all(DRAWING);
}

const DRAWN = {
  text: (block) => element("div", { class: "block text" }, ...block.paragraphs.map((each) => element("p", {}, each))),
  missing: (block) => element("div", { class: "block missing" }, element("strong", {}, `${block.what}: `), block.advice),
  chart: drawChart,
  table: drawTable,
  choice: drawChoice,
};

/** The element of any block. */
function drawBlock(block) {
  const draw = DRAWN[block.kind] ?? WIDGETS[block.kind];
  return draw ? draw(block) : element("p", { class: "missing" }, `this page cannot show a block of kind ${block.kind}`);
}

/** Groups of blocks behind a row of buttons. */
function drawChoice(block) {
  const names = Object.keys(block.options);
  const inside = element("div", {});
  const buttons = names.map((name) => element("button", { type: "button", role: "tab", onclick: () => choose(name) }, readable(name)));
  function choose(chosen) {
    names.forEach((name, index) => buttons[index].setAttribute("aria-selected", String(name === chosen)));
    forget(inside);
    inside.replaceChildren(...block.options[chosen].map(drawBlock));
  }
  choose(names[0]);
  return element("section", { class: "choice" }, element("div", { role: "tablist", "aria-label": block.label }, element("span", { class: "label" }, block.label), ...buttons), inside);
}

/** A name as a reader writes it; a model's sites keep theirs. */
function readable(name) {
  return name.includes(".hook_") ? name : name.replaceAll("_", " ");
}

/** A claim of the front page: question, answer, and a mark that needs no colour to be read. */
function drawClaim(claim, anchor) {
  const mark = { yes: "✓", no: "✗", open: "?" }[claim.tone];
  return element(
    "li", { class: `claim ${claim.tone}` },
    element("span", { class: "mark", "aria-label": claim.tone }, mark),
    element("div", {}, element("a", { class: "asked", href: addressOf(anchor) }, claim.question), element("p", {}, claim.answer)),
  );
}

function drawView(view) {
  const parts = [element("p", { class: "only-print" }, `${PAGE.title} · ${view.chapter}`), element("h2", {}, view.title), element("p", { class: "question" }, view.question)];
  if (view.anchor === "front") {
    const claims = PAGE.views.flatMap((each) => each.claims.map((claim) => drawClaim(claim, each.anchor)));
    parts.push(element("p", { class: "quiet key" }, "✓ yes · ✗ no · ? it depends, or this run could not have told. Square brackets: 95% intervals. A question leads to its chapter."));
    parts.push(element("ul", { class: "claims" }, ...claims));
  }
  return element("article", { class: "view", id: `view-${view.anchor}` }, ...parts, ...view.blocks.map(drawBlock));
}

/** Address of a place in the page: a chapter, and what is shown of it. Names may hold anything, slashes as well. */
function addressOf(...names) {
  return `#/${names.map(encodeURIComponent).join("/")}`;
}

/** The names in an address; one that is no proper encoding, as written by hand, is taken as it stands. */
function placeOf(address) {
  return address.replace(/^#\/?/, "").split("/").map((name) => {
    try {
      return decodeURIComponent(name);
    } catch {
      return name;
    }
  });
}

/** Blocks of a chapter, unpacked when it is first opened. */
async function unpacked(view) {
  const stream = new Blob([carried(`blocks-${view.anchor}`)]).stream().pipeThrough(new DecompressionStream("gzip"));
  view.blocks = await new Response(stream).json();
}

/** Show the chapter that the address names; what follows a second slash is the chapter's own business. */
async function show() {
  const [anchor, ...rest] = placeOf(location.hash);
  const view = PAGE.views.find((each) => each.anchor === anchor) ?? PAGE.views[0];
  PAGE.place = rest;
  for (const link of document.querySelectorAll("#chapters a")) {
    if (link.hash === addressOf(view.anchor)) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${view.title} · ${PAGE.title}`;
  const content = document.getElementById("content");
  if (content.dataset.anchor === view.anchor && rest.length) return void window.dispatchEvent(new Event("place"));
  content.dataset.anchor = view.anchor;
  foldMenu(true);
  if (!view.blocks) await unpacked(view);
  if (content.dataset.anchor !== view.anchor) return; // another chapter was asked for meanwhile
  forget(content);
  content.replaceChildren(drawView(view));
  window.scrollTo(0, 0);
}

function foldMenu(folded) {
  document.getElementById("menu").setAttribute("aria-expanded", String(!folded));
  document.getElementById("top").classList.toggle("open", !folded);
}

/** Left and right arrows turn chapters, where they do not belong to what has the focus. */
function turn(event) {
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  const within = event.target.closest("input, select, textarea, button, .plot, [data-arrows]");
  if (!step || within || event.altKey || event.ctrlKey || event.metaKey) return;
  const now = PAGE.views.findIndex((view) => view.anchor === document.getElementById("content").dataset.anchor);
  const next = PAGE.views[now + step];
  if (next) location.hash = addressOf(next.anchor);
}

/** DataTables takes its colours from a class of the root. */
function nightfall() {
  document.documentElement.classList.toggle("dark", dark.matches && !onPaper());
}

function open() {
  const chapters = PAGE.views.map((view) => element("a", { href: addressOf(view.anchor) }, view.chapter));
  document.getElementById("chapters").append(...chapters);
  const menu = document.getElementById("menu");
  menu.addEventListener("click", () => foldMenu(menu.getAttribute("aria-expanded") === "true"));
  document.addEventListener("keydown", turn);
  window.addEventListener("hashchange", show);
  show();
  setTimeout(tableLibrary); // printing cannot wait for it
}

dark.addEventListener("change", nightfall);
nightfall();
open();
