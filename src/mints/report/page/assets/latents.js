// Dashboards of latents: a list to search and to sort, and beside it all that is known of the chosen one.

WIDGETS.latents = drawLatents;

/** Address of a latent's page; null where it has none. */
function latentAddress(site, latent) {
  return PAGE.dashboards[site]?.includes(Number(latent)) ? addressOf("latents", site, latent) : null;
}

/** Links to the pages of these latents, of as many as have one; null where none has. */
function latentLinks(latents) {
  const links = latents.map(([site, latent]) => [latentAddress(site, latent), latent]).filter(([address]) => address)
    .map(([address, latent]) => element("a", { href: address }, `F${latent}`));
  return links.length ? element("span", { class: "pages" }, "Pages of latents: ", ...links.flatMap((link) => [link, " "])) : null;
}

function drawLatents(block) {
  const { sites, sorted_by: keys } = block.content;
  let site = sites[0], chosen = null, key = "latent";
  const list = element("ul", { class: "latent-list", "aria-label": "latents", "data-arrows": true });
  const board = element("div", { class: "dashboard", "aria-live": "polite" });
  const filter = element("input", { type: "search", placeholder: "number or concept", "aria-label": "filter latents", oninput: refill });
  const order = element("select", { "aria-label": "sort latents", onchange: () => { key = order.value; refill(); } },
    ...Object.entries(keys).map(([name, label]) => element("option", { value: name }, label)));
  const places = element("select", { "aria-label": "site", onchange: () => open(places.value, null) }, ...sites.map((each) => element("option", { value: each.site }, each.site)));

  /** Latents whose number or concept holds what is written, in the order that is asked for. */
  function wanted() {
    const asked = filter.value.trim().toLowerCase().replace(/^f(?=\d)/, "");
    const found = site.latents.filter((each) => String(each.latent).includes(asked) || each.concept.toLowerCase().includes(asked));
    const size = (each) => (each[key] === null || each[key] === undefined ? -Infinity : each[key]);
    return key === "latent" ? found : found.sort((a, b) => size(b) - size(a) || a.latent - b.latent);
  }
  function refill() {
    const rows = wanted();
    list.replaceChildren(...rows.map((each) => element("li", {}, element("button", {
      type: "button", "data-latent": each.latent, "aria-current": each === chosen ? "true" : null, onclick: () => choose(each),
    }, element("strong", {}, `F${each.latent}`), element("span", { class: "quiet" }, ` ${listed(each)}`)))));
    if (!rows.length) list.append(element("li", { class: "quiet" }, "No latent of this site is called so."));
  }
  function listed(each) {
    const parts = [`${shown(100 * each.density)}% of tokens`];
    if (each.concept) parts.unshift(`${each.concept} ${each.f1 === null ? "" : `F1 ${each.f1.toFixed(2)}`}`.trim());
    if (key === "effect" && each.effect !== null) parts.unshift(`effect ${shown(each.effect)}`);
    if (key === "logit" && each.logit !== null) parts.unshift(`token ${shown(each.logit)} nats`);
    return parts.join(" · ");
  }
  function choose(latent, address = true) {
    chosen = latent;
    for (const button of list.querySelectorAll("button")) {
      if (Number(button.dataset.latent) === latent?.latent) button.setAttribute("aria-current", "true");
      else button.removeAttribute("aria-current");
    }
    forget(board);
    board.replaceChildren(...(latent ? [element("h4", {}, `${site.site} · F${latent.latent}`), ...latent.blocks.map(drawBlock)] : [element("p", { class: "quiet" }, "This site has no latent to show.")]));
    if (address && latent) history.replaceState(null, "", addressOf(document.getElementById("content").dataset.anchor, site.site, latent.latent));
  }
  function open(name, number, address = true) {
    site = sites.find((each) => each.site === name) ?? sites[0];
    places.value = site.site;
    sourceOf(frame, site.source);
    filter.value = "";
    chosen = null;
    refill();
    choose(site.latents.find((each) => each.latent === Number(number)) ?? wanted()[0] ?? null, address);
    list.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest" });
  }
  function follow() {
    if (!board.isConnected) return void window.removeEventListener("place", follow);
    const [name, number] = PAGE.place;
    open(name, number, false);
  }
  /** Up and down go through the list. */
  list.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const buttons = [...list.querySelectorAll("button")];
    const next = buttons[buttons.indexOf(document.activeElement) + step];
    if (!step || !next) return;
    event.preventDefault();
    next.focus();
    next.click();
  });
  whenShown(board, () => {
    const [name, number] = PAGE.place ?? [];
    open(name, number, false);
    window.addEventListener("place", follow);
  });
  const frame = framed(block, element("div", { class: "latents-frame" },
    element("div", { class: "latent-finder" }, sites.length > 1 ? places : null, filter, element("label", {}, "sort by ", order), list), board));
  return frame;
}
