// The page without this script is whole: pictures, tables, text. It makes the charts explorable by
// mouse and keyboard, filters them by optimizer and schedule, marks one trial everywhere, and pages
// the long table.
"use strict";
(() => {
  const charts = JSON.parse(document.getElementById("charts").textContent);
  const controls = document.getElementById("controls");
  const status = document.getElementById("filter-status");
  const optimizer = document.getElementById("filter-optimizer");
  const schedule = document.getElementById("filter-schedule");
  const trial = document.getElementById("filter-trial");
  const table = document.querySelector("#all-trials table");
  const ROWS_PER_PAGE = 50, MOST_PRINTED = 500, PANEL = 345, WIDEST = 560, AXIS = 95, LABELS = 200, MARKS = "path, line, rect, text", FAR = 10;
  const touch = matchMedia("(pointer: coarse)").matches;
  const views = new Map();
  let chosen = null;

  // --- charts

  const passes = row =>
    (!optimizer.value || row.optimizer === undefined || row.optimizer === optimizer.value) &&
    (!schedule.value || row.schedule === undefined || row.schedule === schedule.value);

  const continuous = (unit, inherited) => ["x", "y"].filter(name => {
    const channel = { ...inherited, ...unit.encoding }[name];
    return channel && ["quantitative", "temporal"].includes(channel.type) && !channel.bin;
  });

  let panels = 0;
  function explorable(spec) {  // drag pans, Ctrl and the wheel zooms, a double click resets
    const parts = spec.concat || spec.hconcat || spec.vconcat || [];
    // Where they share the axis, what moves the first moves all.
    (spec.resolve?.scale?.x === "shared" ? parts.slice(0, 1) : parts).forEach(explorable);
    if (spec.spec) return explorable(spec.spec);
    const unit = spec.layer ? spec.layer.find(l => continuous(l, spec.encoding).length) : spec;
    if (!unit || !(unit.mark)) return;
    const encodings = continuous(unit, spec.encoding);
    if (encodings.length) unit.params = [...(unit.params || []), {
      name: `pan_${panels++}`, bind: "scales",
      select: { type: "interval", encodings, zoom: "wheel![event.ctrlKey || event.metaKey]" },
    }];
  }

  const joined = part => ["concat", "hconcat", "vconcat"].find(name => part[name]);
  const leaves = part => {
    const name = joined(part);
    return name ? part[name].flatMap(leaves) : [part];
  };
  function widen(spec, room) {  // panels of a width of their own, which `room` bounds
    for (const part of leaves(spec)) {
      if (typeof part.width === "number") part.width = Math.max(120, Math.min(room, WIDEST));
    }
  }
  function stacked(spec) {  // panels that stood beside each other, each with its own labels
    const { hconcat, ...out } = { ...spec, vconcat: spec.hconcat };
    for (const part of leaves(out)) {
      for (const layer of part.layer || [part]) delete layer.encoding?.y?.axis?.labels;
    }
    return out;
  }
  function sized(spec, screen) {
    const width = Math.max(screen, spec.usermeta?.least_width || 0);
    let out = structuredClone(spec);
    if (out.hconcat && screen < 640) { out = stacked(out); widen(out, width - LABELS); }
    if (out.concat) {
      const most = Math.min(out.columns || 9, out.concat.length, Math.floor(width / PANEL));
      out.columns = Math.max(1, most);
      widen(out, Math.floor(width / out.columns) - AXIS);
    }
    const fits = part => {
      if (part.concat || part.hconcat || part.vconcat || part.spec) return;
      if (part.width === undefined) part.width = Math.max(120, width - 130);
    };
    (out.vconcat || []).forEach(fits);
    if (!out.concat && !out.hconcat && !out.vconcat && !out.spec && out.width === undefined) {
      out.width = width;
      out.autosize = { type: "fit-x", contains: "padding" };
    }
    const legend = { ...out.config.legend, columns: width < 560 ? 1 : width < 800 ? 2 : 4 };
    out.config = { ...out.config, legend, background: "transparent" };
    return out;
  }

  // --- the filter in a chart

  const isFiltered = () => Boolean(optimizer.value || schedule.value);
  const filtered = () => [["optimizer", optimizer], ["schedule", schedule]]
    .filter(([, field]) => field.value).map(([name, field]) => `${name} = ${field.value}`).join(", ");
  const isOfTrials = rows => rows.some(row => optimizer.value && row.optimizer !== undefined ||
    schedule.value && row.schedule !== undefined);
  const used = part => [part, ...(part.layer || [])].map(one => one.data?.name).filter(name => name);

  function without(spec, gone) {  // the panels that have something to draw, null where none has
    const name = joined(spec);  // what is joined once more, such as a plot and its strip, is a panel
    if (!name) return gone([spec]) ? null : spec;
    const left = spec[name].filter(panel => !gone(leaves(panel)));
    return left.length ? { ...spec, [name]: left } : null;
  }
  function narrowed(unit, before, after) {  // legends and axes without what is filtered away
    for (const channel of Object.values(unit.encoding || {})) {
      const scale = channel.scale, field = channel.field;
      if (!field || !["nominal", "ordinal"].includes(channel.type) || !Array.isArray(scale?.domain)) continue;
      const stays = scale.domain.map(value => after(field).has(value) || !before(field).has(value));
      if (stays.every(is => is)) continue;
      if (!stays.some(is => is)) { channel.legend = null; continue; }  // an empty one has no size
      if (channel === unit.encoding.y && typeof unit.height === "number") {
        unit.height = Math.round(unit.height * stays.filter(is => is).length / stays.length);
      }
      const kept = list => list.filter((_, i) => stays[i]);
      channel.scale = { ...scale, domain: kept(scale.domain) };
      if (Array.isArray(scale.range) && scale.range.length === stays.length) channel.scale.range = kept(scale.range);
    }
    (unit.layer || []).forEach(layer => narrowed(layer, before, after));
  }
  function selected(spec) {  // the chart of the trials that pass; null if it has none of them
    if (!isFiltered()) return { spec, all: false };
    const whole = spec.datasets || {}, parts = {};
    for (const name of Object.keys(whole)) parts[name] = whole[name].filter(passes);
    const narrow = Object.keys(whole).filter(name => isOfTrials(whole[name]));
    if (!narrow.length) return { spec, all: true };
    const gone = panel => {
      const mine = panel.flatMap(used).filter(name => narrow.includes(name));
      return mine.length > 0 && mine.every(name => !parts[name].length);
    };
    const left = without(spec, gone);
    if (!left) return { spec: null, all: false };
    const memo = sets => {
      const known = {};
      return field => known[field] ??= new Set(Object.values(sets).flat().map(row => row[field]));
    };
    const before = memo(whole), after = memo(parts);
    for (const leaf of leaves(left)) {
      leaf.layer &&= leaf.layer.filter(layer => !gone([layer]) || used(layer).length === 0);
      narrowed(leaf, before, after);
    }
    return { spec: { ...left, datasets: parts }, all: false };
  }
  function note(host, text) {
    const found = host.parentElement.querySelector(".filtered");
    if (!text) { found?.remove(); return; }
    const line = found || document.createElement("p");
    line.className = "filtered soft";
    line.textContent = text;
    if (!found) host.after(line);
  }
  function noteOf(found) {
    if (!isFiltered()) return "";
    const counted = rows.length ? `, ${rows.filter(passes).length} of ${rows.length} trials` : "";
    const head = `Filtered: ${filtered()}${counted}.`;
    if (!found.spec) return `${head} None of them is in this figure.`;
    if (found.all) return `${head} This figure and the text below it are of all trials.`;
    return `${head} Fits, counts and the text below are of all trials.`;
  }

  // --- the marks of a chart

  const tip = document.createElement("div");
  tip.id = "tip";
  tip.hidden = true;
  document.body.append(tip);
  // What a mark says, without what it does not know.
  const facts = said => Object.entries(said).filter(([, text]) => !["undefined", "NaN", "null"].includes(String(text)));
  function tooltip(handler, event, item, value) {
    if (!value) { tip.hidden = true; return; }
    tip.replaceChildren(...facts(value).map(([key, text]) => {
      const line = document.createElement("div"), name = document.createElement("b");
      name.textContent = `${key}: `;
      line.append(name, String(text));
      return line;
    }));
    tip.hidden = false;
    const right = Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8);
    tip.style.left = `${Math.max(4, right)}px`;
    tip.style.top = `${Math.min(event.clientY + 14, innerHeight - tip.offsetHeight - 8)}px`;
  }

  const itemOf = element => {
    const data = element.__data__;
    return data?.tooltip ? data : data?.items?.[0]?.tooltip ? data.items[0] : null;
  };
  const told = host => {  // the marks that say something; what a line of no trial says is of one point
    const all = [...host.querySelector(".drawn").querySelectorAll(MARKS)].filter(itemOf);
    const points = all.filter(element => typeof trialOf(element) === "number" ||
      !["line", "area", "trail"].includes(itemOf(element).mark?.marktype));
    return points.length ? points : all;
  };
  const marksOf = host => {  // panel by panel, from left to right
    const boxes = told(host).map(element => {
      const box = element.getBoundingClientRect(), panel = element.__data__.mark?.group;
      return { element, panel, x: box.left + box.width / 2, y: box.top + box.height / 2 };
    });
    const panels = [...new Set(boxes.map(mark => mark.panel))];
    const place = new Map(panels.map((panel, i) => [panel, i]));
    boxes.sort((a, b) => place.get(a.panel) - place.get(b.panel) || a.x - b.x || a.y - b.y);
    return boxes.map(mark => mark.element);
  };
  function rove(host, element) {  // one mark of a figure is a stop of the Tab key, and has a name
    for (const old of host.querySelectorAll("svg [tabindex]")) {
      if (old !== element) ["tabindex", "role", "aria-label"].forEach(name => old.removeAttribute(name));
    }
    if (!element) return;
    const said = facts(itemOf(element).tooltip).map(([name, text]) => `${name} ${text}`);
    element.setAttribute("tabindex", "0");
    element.setAttribute("role", typeof trialOf(element) === "number" ? "button" : "img");
    element.setAttribute("aria-label", said.join(", "));
  }
  function first(host) {
    if (host.querySelector("svg [tabindex]")) return;
    rove(host, told(host)[0]);
  }
  function pointAt(element) {
    const box = element.getBoundingClientRect(), item = itemOf(element);
    tooltip(null, { clientX: box.left + box.width / 2, clientY: box.top + box.height / 2 }, item, item.tooltip);
  }
  function byKey(host) {
    let marks = null;  // made at the first key, and anew after the chart has changed
    host.addEventListener("focusin", event => { if (itemOf(event.target)) pointAt(event.target); });
    host.addEventListener("focusout", () => { tip.hidden = true; });
    host.addEventListener("keydown", event => {
      if (!itemOf(event.target) || event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.key === "Escape") { tip.hidden = true; return; }
      if (event.key === "Enter" || event.key === " ") {
        const number = trialOf(event.target);
        if (typeof number === "number") choose(number === chosen ? null : number);
        event.preventDefault();
        return;
      }
      marks = marks?.includes(event.target) && marks.every(mark => mark.isConnected) ? marks : marksOf(host);
      const at = marks.indexOf(event.target), last = marks.length - 1;
      const to = {
        ArrowRight: at + 1, ArrowDown: at + 1, ArrowLeft: at - 1, ArrowUp: at - 1,
        PageDown: at + FAR, PageUp: at - FAR, Home: 0, End: last,
      }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      const next = marks[Math.max(0, Math.min(last, to))];
      rove(host, next);
      next.focus();
      pointAt(next);
    });
  }
  const trialOf = element => element.__data__?.datum?.trial ?? element.__data__?.items?.[0]?.datum?.trial;
  const nameless = host => host.querySelectorAll(".drawn [role^=graphics]").forEach(element => {
    element.removeAttribute("role");  // the picture as a whole has a name, its parts have none
    element.removeAttribute("aria-roledescription");
  });
  const markIn = host => {  // nothing is faint in a figure that does not have the chosen trial
    const marks = [...(host.querySelector(".drawn")?.querySelectorAll(MARKS) || [])].map(element => [element, trialOf(element)]);
    const has = chosen !== null && marks.some(([, number]) => number === chosen);
    for (const [element, number] of marks) {
      element.classList.toggle("chosen", has && number === chosen);
      element.classList.toggle("other", has && number !== undefined && number !== chosen);
    }
  };

  async function draw(host) {
    const name = host.dataset.chart, width = Math.floor(host.parentElement.clientWidth) - 18;
    if (views.get(name)?.width === width) return;
    views.get(name)?.result?.finalize();
    const entry = { width };
    views.set(name, entry);
    panels = 0;
    const found = selected(structuredClone(charts[name])), held = host.contains(document.activeElement);
    note(host, noteOf(found));
    host.hidden = !found.spec;
    host.classList.toggle("whole", !isFiltered());
    if (!found.spec) { host.dataset.drawn = "yes"; return; }
    const spec = sized(found.spec, width);
    if (!touch) explorable(spec);
    const target = document.createElement("div");
    target.className = "drawn";
    const options = { ast: true, actions: false, renderer: "svg", tooltip, defaultStyle: false, logLevel: 1 };
    entry.result = await vegaEmbed(target, spec, options);
    if (views.get(name) !== entry) return entry.result.finalize();
    host.classList.remove("shrunk");
    const svg = target.querySelector("svg");
    svg.setAttribute("role", "group");
    svg.setAttribute("aria-label", host.dataset.alt);
    entry.result.view.addEventListener("click", (event, item) => {
      const number = item && (item.datum?.trial ?? item.items?.[0]?.datum?.trial);
      if (number !== undefined && number !== null) choose(number === chosen ? null : number);
    });
    // The picture of the file stays for print: it is as wide as paper, and the window may not be.
    host.querySelector(":scope > svg")?.classList.add("still");
    host.querySelector(".drawn")?.remove();
    host.append(target);
    const scrolls = (charts[name].usermeta?.least_width || 0) > width;
    host.classList.toggle("shrunk", !scrolls && svg.getBoundingClientRect().width > width);
    nameless(host);
    markIn(host);
    first(host);
    const stop = host.querySelector("svg [tabindex]");
    if (scrolls && !stop) host.tabIndex = 0; else host.removeAttribute("tabindex");
    if (held) stop?.focus();
    const again = new MutationObserver(() => { nameless(host); markIn(host); first(host); });
    again.observe(target, { subtree: true, childList: true, attributeFilter: ["d", "transform"] });
    host.dataset.drawn = "yes";
  }

  const hosts = [...document.querySelectorAll("[data-chart]")], visible = new Set();
  const seen = new IntersectionObserver(entries => entries.forEach(entry => {
    const host = entry.target.querySelector("[data-chart]");  // which may be hidden
    if (entry.isIntersecting) { visible.add(host); draw(host); }
    else visible.delete(host);
  }), { rootMargin: "400px" });
  hosts.forEach(byKey);
  hosts.forEach(host => seen.observe(host.parentElement));
  const redraw = () => visible.forEach(draw);
  let waiting = 0;
  addEventListener("resize", () => { clearTimeout(waiting); waiting = setTimeout(redraw, 150); });

  // --- the table of all trials

  const rows = table ? [...table.tBodies[0].rows].map(element => ({
    element, trial: element.dataset.trial === undefined ? null : Number(element.dataset.trial),
    optimizer: element.dataset.optimizer, schedule: element.dataset.schedule,
  })) : [];
  const text = document.getElementById("filter-text"), printed = document.getElementById("printed");
  let page = 0, sortedBy = null, rising = true, shown = rows;

  const key = (row, column) => {
    const cell = row.element.cells[column], raw = cell.dataset.v ?? cell.textContent.trim();
    const value = raw === "" ? NaN : Number(raw);
    return Number.isNaN(value) ? raw : value;
  };
  function list() {
    if (!table) return;
    const words = text.value.trim().toLowerCase();
    shown = rows.filter(row => passes(row) &&
      (!words || row.element.textContent.toLowerCase().includes(words)));
    if (sortedBy !== null) {
      const keyed = shown.map(row => [key(row, sortedBy), row]);
      const rank = value => typeof value === "number" ? 0 : value === "–" || value === "" ? 2 : 1;
      keyed.sort(([a], [b]) => rank(a) - rank(b) ||
        (rising ? 1 : -1) * (typeof a === "number" ? a - b : a.localeCompare(b)));
      shown = keyed.map(([, row]) => row);
    }
    turn(0);
  }
  function turn(to) {
    const pages = Math.max(1, Math.ceil(shown.length / ROWS_PER_PAGE));
    page = Math.max(0, Math.min(pages - 1, to));
    const start = page * ROWS_PER_PAGE, part = shown.slice(start, start + ROWS_PER_PAGE);
    table.tBodies[0].replaceChildren(...part.map(row => row.element));
    const first = shown.length ? start + 1 : 0;
    document.getElementById("page-status").textContent =
      `rows ${first} to ${start + part.length} of ${shown.length}`;
    document.getElementById("page-back").disabled = page === 0;
    document.getElementById("page-next").disabled = page === pages - 1;
  }
  if (table) {
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        rising = sortedBy === column ? !rising : true;
        sortedBy = column;
        for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", rising ? "ascending" : "descending");
        list();
      });
    });
    table.tBodies[0].addEventListener("click", event => {
      const number = event.target.closest("tr")?.dataset.trial;
      if (number !== undefined) choose(Number(number) === chosen ? null : Number(number));
    });
    document.getElementById("page-back").addEventListener("click", () => turn(page - 1));
    document.getElementById("page-next").addEventListener("click", () => turn(page + 1));
    text.addEventListener("input", list);
    document.getElementById("pager").hidden = false;
    addEventListener("beforeprint", () => {
      table.tBodies[0].replaceChildren(...shown.slice(0, MOST_PRINTED).map(row => row.element));
      printed.textContent = shown.length > MOST_PRINTED
        ? `Printed are the first ${MOST_PRINTED} of ${shown.length} trials.` : "";
    });
    addEventListener("afterprint", () => { turn(page); printed.textContent = ""; });
  }

  // --- one trial, everywhere

  function follow() {  // a link to a trial, or to the table of all
    const found = /^#trial-(\d+)$/.exec(location.hash);
    if (!table || (!found && location.hash !== "#all-trials")) return;
    const details = document.getElementById("all-trials");
    details.open = true;
    if (found && Number(found[1]) !== chosen) choose(Number(found[1]));
    const row = found && rows.find(each => each.trial === Number(found[1]))?.element;
    (row?.isConnected ? row : details).scrollIntoView({ block: "center" });
  }
  addEventListener("hashchange", follow);

  function choose(number) {
    chosen = number;
    trial.value = number === null ? "" : number;
    for (const row of rows) {
      const is = number !== null && row.trial === number;
      row.element.classList.toggle("chosen", is);
      if (is) row.element.setAttribute("aria-current", "true");
      else row.element.removeAttribute("aria-current");
    }
    const at = shown.findIndex(row => row.trial === number);
    if (number !== null && at >= 0) turn(Math.floor(at / ROWS_PER_PAGE));
    hosts.forEach(markIn);
    tell();
  }
  function bar() {  // what is scrolled to stands below it
    const height = getComputedStyle(controls).position === "sticky" ? controls.offsetHeight : 0;
    document.documentElement.style.scrollPaddingTop = `${height + 8}px`;
  }
  function tell() {
    const parts = [];
    if (isFiltered() && rows.length) parts.push(`${rows.filter(passes).length} of ${rows.length} trials shown`);
    if (chosen !== null) {
      const found = rows.find(row => row.trial === chosen);
      if (found) {
        const heads = [...table.tHead.rows[0].cells].map(head => head.textContent);
        const words = [...found.element.cells].slice(1)
          .map((cell, i) => [heads[i + 1], cell.textContent.trim()])
          .filter(([, value]) => value && value !== "–").map(([name, value]) => `${name} ${value}`);
        parts.push(`Trial ${chosen}: ${words.join(", ")}`);
      } else parts.push(`There is no trial ${chosen}`);
    }
    status.textContent = parts.join(". ");
    if (chosen !== null && rows.some(row => row.trial === chosen)) linkToRow();
    bar();  // its height has changed: a jump may come before the observer's next turn
  }
  function linkToRow() {
    const link = document.createElement("a");
    link.href = `#trial-${chosen}`;
    link.textContent = "its row";
    link.addEventListener("click", () => { if (location.hash === link.hash) follow(); });
    status.append(" (", link, ")");
  }
  function refilter() {
    for (const entry of views.values()) entry.width = -1;
    redraw();
    list();
    tell();
  }
  optimizer.addEventListener("change", refilter);
  schedule.addEventListener("change", refilter);
  trial.addEventListener("change", () => choose(trial.value === "" ? null : Number(trial.value)));
  document.getElementById("filter-clear").addEventListener("click", () => {
    optimizer.value = schedule.value = text.value = "";
    choose(null);
    refilter();
  });
  const inPrint = [...document.querySelectorAll(".answer details, #all-trials")];
  let wereClosed = [];
  addEventListener("beforeprint", () => {
    wereClosed = inPrint.filter(details => !details.open);
    for (const details of wereClosed) details.open = true;
  });
  addEventListener("afterprint", () => { for (const details of wereClosed) details.open = false; });
  new ResizeObserver(bar).observe(controls);
  controls.hidden = document.getElementById("hint").hidden = false;
  document.documentElement.classList.add("scripted");
  list();
  follow();
})();
