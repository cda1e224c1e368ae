// The page without this script is whole: pictures, tables, text. It makes the charts explorable,
// filters them by optimizer and schedule, marks one trial everywhere, and pages the long table.
"use strict";
(() => {
  const charts = JSON.parse(document.getElementById("charts").textContent);
  const controls = document.getElementById("controls");
  const status = document.getElementById("filter-status");
  const optimizer = document.getElementById("filter-optimizer");
  const schedule = document.getElementById("filter-schedule");
  const trial = document.getElementById("filter-trial");
  const table = document.querySelector("#all-trials table");
  const ROWS_PER_PAGE = 50, MOST_PRINTED = 500, PANEL = 345, WIDEST = 560, AXIS = 95, LABELS = 200, MARKS = "path, line, rect, text";
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

  const leaves = part => {
    const parts = part.concat || part.hconcat || part.vconcat;
    return parts ? parts.flatMap(leaves) : [part];
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

  const tip = document.createElement("div");
  tip.id = "tip";
  tip.hidden = true;
  document.body.append(tip);
  function tooltip(handler, event, item, value) {
    if (!value) { tip.hidden = true; return; }
    tip.replaceChildren(...Object.entries(value).map(([key, text]) => {
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

  const trialOf = element => element.__data__?.datum?.trial ?? element.__data__?.items?.[0]?.datum?.trial;
  const nameless = host => host.querySelectorAll("svg [role^=graphics]").forEach(element => {
    element.removeAttribute("role");  // the picture as a whole has a name, its parts have none
    element.removeAttribute("aria-roledescription");
  });
  const markIn = host => host.querySelectorAll(MARKS).forEach(element => {
    const number = trialOf(element);
    element.classList.toggle("chosen", chosen !== null && number === chosen);
    element.classList.toggle("other", chosen !== null && number !== undefined && number !== chosen);
  });

  async function draw(host) {
    const name = host.dataset.chart, width = Math.floor(host.clientWidth) - 16;
    if (views.get(name)?.width === width) return;
    views.get(name)?.result?.finalize();
    const entry = { width };
    views.set(name, entry);
    panels = 0;
    const spec = sized(charts[name], width);
    if (!touch) explorable(spec);
    for (const rows of Object.keys(spec.datasets || {})) {
      spec.datasets[rows] = spec.datasets[rows].filter(passes);
    }
    const target = document.createElement("div");
    const options = { ast: true, actions: false, renderer: "svg", tooltip, defaultStyle: false, logLevel: 1 };
    entry.result = await vegaEmbed(target, spec, options);
    if (views.get(name) !== entry) return entry.result.finalize();
    host.classList.remove("shrunk");
    const svg = target.querySelector("svg");
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", host.dataset.alt);
    entry.result.view.addEventListener("click", (event, item) => {
      const number = item && (item.datum?.trial ?? item.items?.[0]?.datum?.trial);
      if (number !== undefined && number !== null) choose(number === chosen ? null : number);
    });
    host.replaceChildren(target);
    const scrolls = (charts[name].usermeta?.least_width || 0) > width;
    host.classList.toggle("shrunk", !scrolls && svg.getBoundingClientRect().width > width);
    if (scrolls) host.tabIndex = 0; else host.removeAttribute("tabindex");
    nameless(host);
    markIn(host);
    const again = new MutationObserver(() => { nameless(host); markIn(host); });
    again.observe(target, { subtree: true, childList: true, attributeFilter: ["d", "transform"] });
    host.dataset.drawn = "yes";
  }

  const hosts = [...document.querySelectorAll("[data-chart]")], visible = new Set();
  const seen = new IntersectionObserver(entries => entries.forEach(entry => {
    if (entry.isIntersecting) { visible.add(entry.target); draw(entry.target); }
    else visible.delete(entry.target);
  }), { rootMargin: "400px" });
  hosts.forEach(host => seen.observe(host));
  const redraw = () => visible.forEach(draw);
  let waiting = 0;
  addEventListener("resize", () => { clearTimeout(waiting); waiting = setTimeout(redraw, 150); });

  // --- the table of all trials

  const rows = table ? [...table.tBodies[0].rows].map(element => ({
    element, trial: element.dataset.trial === undefined ? null : Number(element.dataset.trial),
    optimizer: element.dataset.optimizer, schedule: element.dataset.schedule,
  })) : [];
  const text = document.getElementById("filter-text");
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
    addEventListener("beforeprint", () =>
      table.tBodies[0].replaceChildren(...shown.slice(0, MOST_PRINTED).map(row => row.element)));
    addEventListener("afterprint", () => turn(page));
  }

  // --- one trial, everywhere

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
  function tell() {
    const parts = [];
    if (optimizer.value || schedule.value) parts.push(`${rows.filter(passes).length} of ${rows.length} trials shown`);
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
  addEventListener("beforeprint", () => {
    for (const details of document.querySelectorAll(".answer details")) details.open = true;
  });
  controls.hidden = document.getElementById("hint").hidden = false;
  document.documentElement.classList.add("scripted");
  list();
})();
