// A sequence with what its tokens receive from one head drawn over the bases, and its motif sites marked.

/** One example. received: per mille by token; pattern: per mille by query and key, where it was saved. */
function drawAttended(example, received, pattern) {
  const { cuts, sequence, sites } = example;
  const inSite = (base) => sites.some((site) => base >= site.start && base < site.end);
  const letters = (start, end) => [...sequence.slice(start, end)].map((base, index) => (inSite(start + index) ? element("b", {}, base) : base));
  const bars = received.map(() => element("i", {}));
  const tokens = received.map((_, place) => element("span", { class: "token", role: "option", id: tokenId(example, place), "aria-selected": "false" },
    element("span", { class: "room" }, bars[place]), element("span", {}, ...letters(cuts[place], cuts[place + 1]))));
  const told = element("p", { class: "quiet told", "aria-live": "polite" });
  const list = element("div", { class: "attended", role: "listbox", tabindex: 0, "data-arrows": true, "aria-label": `tokens of ${example.name}` }, ...tokens);
  let chosen = null;

  function choose(place) {
    chosen = place === chosen ? null : place;
    tokens.forEach((token, index) => token.setAttribute("aria-selected", String(index === chosen)));
    if (chosen === null) list.removeAttribute("aria-activedescendant");
    else list.setAttribute("aria-activedescendant", tokens[chosen].id);
    redraw();
  }
  function redraw() {
    const values = chosen !== null && pattern ? pattern[chosen] : received;
    const most = Math.max(...values) || 1;
    values.forEach((value, place) => { bars[place].style.height = `${(100 * value) / most}%`; });
    list.classList.toggle("asking", values !== received);
    tokens.forEach((token, place) => { token.title = `bases ${cuts[place] + 1} to ${cuts[place + 1]}: ${percent(values[place])}`; });
    told.textContent = sentence(values, most);
  }
  function sentence(values, most) {
    const scale = `The tallest bar is ${percent(most)}; even attention would be about ${percent(1000 / (received.length + 2))}.`;
    if (chosen === null) return `Attention received, mean over queries. ${scale}${pattern ? " Choose a token to see where it looks." : ""}`;
    const place = `${sequence.slice(cuts[chosen], cuts[chosen + 1])} at bases ${cuts[chosen] + 1} to ${cuts[chosen + 1]}`;
    if (!pattern) return `${place} receives ${percent(received[chosen])}. ${scale}`;
    const rest = Math.max(0, 1000 - values.reduce((sum, value) => sum + value, 0));
    return `${place} receives ${percent(received[chosen])}; shown is where it looks: ${percent(rest)} goes to special tokens. ${scale}`;
  }
  list.addEventListener("click", (event) => {
    const place = tokens.indexOf(event.target.closest(".token"));
    if (place >= 0) choose(place);
  });
  list.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (event.key === "Escape" && chosen !== null) choose(chosen);
    if (!step) return;
    event.preventDefault();
    const next = chosen === null ? (step > 0 ? 0 : tokens.length - 1) : chosen + step;
    if (tokens[next]) choose(next);
  });
  redraw();
  return element("div", { class: "example" }, element("h4", {}, `${example.name}, ${example.label === 1 ? "positive" : "negative"}`), element("p", { class: "quiet" }, siteSentence(sites)), list, told);
}

function tokenId(example, place) {
  return `token-${fileName(example.name)}-${place}`;
}

function siteSentence(sites) {
  if (!sites.length) return "No site of the motif.";
  return sites.map((site) => `Site at bases ${site.start + 1} to ${site.end}, strand ${site.strand > 0 ? "+" : "−"}, ${site.bits.toFixed(1)} bits`).join("; ") + ".";
}

function percent(perMille) {
  return `${(perMille / 10).toFixed(perMille < 100 ? 2 : 0)}%`;
}
