// What the console does beyond plain pages: live content, plots, copying. Everything works without it.
"use strict";

(() => {
  const plots = new WeakMap();
  const number = new Intl.NumberFormat(undefined, { maximumSignificantDigits: 3 });

  function color(name) {
    return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  }

  // In UTC, as everywhere else.
  function clock(seconds, isLong) {
    return new Date(seconds * 1000).toISOString().slice(11, isLong ? 19 : 16);
  }

  function dataOf(element) {
    const told = JSON.parse(element.dataset.plot);
    return { told, data: [told.times, ...told.lines.map((line) => line.values)] };
  }

  function draw(element) {
    const { told, data } = dataOf(element);
    if (told.times.length < 2 || plots.has(element)) return;
    const axis = { stroke: color("--quiet"), grid: { stroke: color("--line"), width: 1 } };
    const series = told.lines.map((line, at) => ({
      label: line.name,
      stroke: color(at === 0 ? "--plot-0" : "--plot-1"),
      width: 1.5,
      spanGaps: false,
      value: (_, value) => (value === null ? "–" : number.format(value) + " " + told.unit),
    }));
    const times = {
      ...axis,
      space: 80,
      size: 28,
      values: (_, ticks, _axis, _space, step) => ticks.map((tick) => clock(tick, step < 60)),
    };
    element.textContent = "";
    const options = {
      width: element.clientWidth,
      height: 150,
      // The last time of the axis needs its half.
      padding: [null, 28, null, null],
      cursor: { y: false },
      legend: { live: true },
      scales: { y: { range: (_, low, high) => [0, high > 0 ? high * 1.05 : 1] } },
      axes: [times, { ...axis, size: 56, values: (_, ticks) => ticks.map((tick) => number.format(tick)) }],
      series: [
        { label: "UTC", value: (_, value) => (value == null ? "–" : clock(value, true)) },
        ...series,
      ],
    };
    plots.set(element, new uPlot(options, data, element));
  }

  function drawAll() {
    document.querySelectorAll("[data-plot]").forEach(draw);
  }

  // A plot is given new data instead of being replaced.
  const morphing = {
    morphStyle: "innerHTML",
    callbacks: {
      beforeNodeMorphed(old, fresh) {
        const plot = plots.get(old);
        if (!plot) return true;
        old.dataset.plot = fresh.dataset.plot;
        old.setAttribute("aria-label", fresh.getAttribute("aria-label"));
        plot.setData(dataOf(old).data);
        return false;
      },
    },
  };

  // Asks nothing while nobody looks: a hidden page closes its stream.
  function live(element) {
    const stale = document.getElementById("stale");
    let source = null;
    const close = () => {
      if (source) source.close();
      source = null;
    };
    const open = () => {
      if (source || document.hidden) return;
      source = new EventSource(element.dataset.live);
      source.addEventListener("content", (event) => {
        stale.hidden = true;
        Idiomorph.morph(element, event.data, morphing);
        drawAll();
        showCopies();
      });
      source.addEventListener("ended", () => location.reload());
      source.addEventListener("error", () => {
        stale.hidden = false;
        // The browser itself asks again if the console is away. If it refuses, as after a restart
        // that ended all sessions, the page says why.
        if (source && source.readyState === EventSource.CLOSED) {
          close();
          setTimeout(() => location.reload(), 5000);
        }
      });
    };
    document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
    addEventListener("pagehide", close);
    addEventListener("pageshow", open);
    open();
  }

  function showCopies() {
    document.querySelectorAll("button.copy[hidden]").forEach((button) => {
      button.hidden = false;
    });
  }

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("button.copy");
    if (!button) return;
    try {
      await navigator.clipboard.writeText(button.dataset.copy);
      button.textContent = "Copied";
    } catch {
      // Without TLS, browsers keep the clipboard to themselves: select it for the reader.
      getSelection().selectAllChildren(button.previousElementSibling);
      button.textContent = "Selected";
    }
    setTimeout(() => (button.textContent = "Copy"), 2000);
  });

  addEventListener("resize", () => {
    document.querySelectorAll("[data-plot]").forEach((element) => {
      const plot = plots.get(element);
      if (plot) plot.setSize({ width: element.clientWidth, height: 150 });
    });
  });

  document.addEventListener("DOMContentLoaded", () => {
    drawAll();
    showCopies();
    document.querySelectorAll("[data-live]").forEach(live);
  });
})();
