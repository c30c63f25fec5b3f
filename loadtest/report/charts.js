// Draws the report's charts with uPlot: values at the pointer, zoom, keys. Their data stand in their figures.

const css = getComputedStyle(document.documentElement);
const ink = (name) => css.getPropertyValue(`--${name}`);
const digits = (value, least, most = least) =>
  value.toLocaleString("en-US", { minimumFractionDigits: least, maximumFractionDigits: most });
const significant = (value, most) => value.toLocaleString("en-US", { maximumSignificantDigits: most });

// As words.py writes them.
const units = {
  ms(value) {
    if (value >= 10_000) return `${digits(value / 1000, 1)} s`;
    return `${digits(value, value >= 100 ? 0 : value >= 1 ? 1 : 2)} ms`;
  },
  count: (value) => digits(value, 0),
  rate: (value) => (value >= 100 ? digits(value, 0) : significant(value, 3)),
  share: (value) => `${value >= 0.1 ? digits(value * 100, 0) : significant(value * 100, 2)} %`,
};
const LONG_S = 120;
const moment = (seconds, all) =>
  all.at(-1) > LONG_S
    ? `${Math.floor(seconds / 60)}:${String(Math.round(seconds % 60)).padStart(2, "0")}`
    : `${seconds} s`;
const axes = {
  time: {
    name: "time since the start",
    tell: moment,
    incrs: [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 28_800, 86_400],
  },
  percentile: {
    name: "percentile",
    tell: (beyond) => (beyond === 1 ? "fastest" : `p${+(100 * (1 - 1 / beyond)).toFixed(8)}`),
    splits: () => [1, 2, 10, 100, 1e3, 1e4, 1e5, 1e6],
  },
  members: { name: "members (log)", tell: units.count, splits: logTicks },
};

// 1, 2 and 5 of each decade, or 1 alone over more than 3 decades.
function logTicks(_plot, axis, low, high) {
  const least = axis === 0 ? 1 : 0;
  const factors = Math.log10(high / low) > 3 ? [1] : [1, 2, 5];
  const first = Math.floor(Math.log10(low));
  const decades = Array.from({ length: Math.ceil(Math.log10(high)) - first + 1 }, (_, at) => first + at);
  return decades
    .flatMap((power) => factors.map((factor) => +`${factor}e${power}`))
    .filter((tick) => Math.max(low, least) <= tick && tick <= high);
}

// Without room beside the data; a single point stands in the middle.
const xRange = (_plot, low, high) => (low < high ? [low, high] : [low / 2, high * 2]);

// From a round number below to one above.
function logRange(low, high) {
  const [below, above] = [low, high].map((value) => 10 ** Math.floor(Math.log10(value)));
  const range = [Math.floor(low / below) * below, Math.ceil(high / above) * above];
  return range[0] < range[1] ? range : [range[0], range[0] * 10];
}

function line(panel, { name, values, ink: colour, width = 2, style = "line", dashed, fill, told = values }) {
  // Without a `show`, uPlot shows points where there is room, and always one between gaps.
  const show = { points: true, dots: true, steps: false, edge: false }[style];
  const stroke = style === "edge" ? undefined : () => ink(colour);
  return {
    label: name,
    class: fill ? "filled" : style,
    stroke,
    width: style === "edge" ? 0 : width,
    dash: dashed ? [6, 4] : undefined,
    fill: fill && (() => ink(fill)),
    spanGaps: panel.x_axis !== "time",
    paths: { steps: uPlot.paths.stepped({ align: 1 }), dots: () => null }[style],
    points: {
      ...(show === undefined ? {} : { show }),
      size: 8,
      width: 2,
      stroke,
      fill: () => ink(style === "dots" ? colour : "surface"),
    },
    value: (_plot, _value, _series, at) =>
      at == null ? "" : told[at] == null ? (panel.missing ?? "too few samples") : units[panel.unit](told[at]),
  };
}

// Thresholds and the starts of stages, over the lines.
function marks({ limits = [], stages = [] }) {
  return (plot) => {
    const { ctx, bbox } = plot;
    const ratio = uPlot.pxRatio;
    const draw = (colour, dash, from, to, text, at) => {
      ctx.strokeStyle = ctx.fillStyle = ink(colour);
      ctx.lineWidth = ratio;
      ctx.setLineDash(dash.map((length) => length * ratio));
      ctx.beginPath();
      ctx.moveTo(...from);
      ctx.lineTo(...to);
      ctx.stroke();
      // Readable on top of lines and bands.
      ctx.setLineDash([]);
      ctx.strokeStyle = ink("surface");
      ctx.lineWidth = 3 * ratio;
      ctx.strokeText(text, ...at);
      ctx.fillText(text, ...at);
    };
    ctx.save();
    ctx.font = plot.axes[0].font[0];
    ctx.textAlign = "left";
    ctx.textBaseline = "alphabetic";
    const right = bbox.left + bbox.width;
    for (const [name, value] of limits) {
      const y = plot.valToPos(value, "y", true);
      draw("bad", [6, 4], [bbox.left, y], [right, y], name, [bbox.left + 6 * ratio, y - 5 * ratio]);
    }
    for (const [start, name] of stages) {
      const x = plot.valToPos(start, "x", true);
      const { top, height } = bbox;
      if (x < bbox.left || x > right) continue;
      draw("grey", [2, 3], [x, top], [x, top + height], name, [x + 4 * ratio, top + 12 * ratio]);
    }
    ctx.restore();
  };
}

function yRange({ is_log, unit, limits = [] }) {
  const bounds = limits.map(([, value]) => value).filter((value) => value > 0);
  return (_plot, low, high) => {
    if (is_log) return logRange(Math.min(low ?? 1, ...bounds), Math.max(high ?? 10, ...bounds));
    const top = Math.max(high ?? 0, ...bounds);
    return [0, unit === "share" ? Math.max(1, top) : uPlot.rangeNum(0, top || 1, 0.1, true)[1]];
  };
}

function options(panel, figure, at, isLast) {
  const { tell, name, ...ticks } = axes[panel.x_axis];
  // Over time, the last x only ends the last value.
  const last = panel.x.length - (panel.x_axis === "time" ? 2 : 1);
  const known = (at) => (at == null ? at : Math.min(at, last));
  const every = {
    stroke: () => ink("muted"),
    labelFont: "12px system-ui",
    filter: (_plot, splits) => splits,
  };
  const unit = panel.unit === "ms" ? (value) => digits(value, 0, 3) : units[panel.unit];
  const lines = panel.lines.map((one) => line(panel, one));
  const colour = (at) => `var(--${panel.lines[at - 1]?.ink})`;
  const legend = figure.insertBefore(document.createElement("div"), figure.querySelector(".hint"));
  return {
    width: figure.clientWidth,
    height: panel.height,
    // Half of the last tick's label stands beside the plot.
    padding: [null, 30, null, null],
    scales: {
      x: { time: false, distr: panel.x_axis === "time" ? 1 : 3, range: xRange },
      y: { distr: panel.is_log ? 3 : 1, range: yRange(panel) },
    },
    series: [
      {
        label: panel.x_axis,
        class: at ? "repeated" : "x",
        value: (_plot, _value, _series, at) => (at == null ? "" : tell(panel.x[known(at)], panel.x)),
      },
      ...lines,
    ],
    bands: panel.bands?.map(([upper, lower, fill]) => ({
      series: [upper + 1, lower + 1],
      fill: () => ink(fill),
    })),
    axes: [
      {
        ...every,
        ...ticks,
        space: 60,
        grid: { show: false },
        size: isLast ? 32 : 10,
        label: isLast ? name : undefined,
        labelSize: 20,
        values: (_plot, splits) => splits.map((at) => (at == null || !isLast ? "" : tell(at, panel.x))),
        ticks: { stroke: () => ink("grey"), size: 4 },
        border: { show: true, stroke: () => ink("grey"), width: 1 },
      },
      {
        ...every,
        size: 56,
        label: panel.is_log ? `${panel.title} (log)` : panel.title,
        labelSize: 20,
        values: (_plot, splits) => splits.map((at) => (at == null ? "" : unit(at))),
        grid: { stroke: () => ink("grid"), width: 1 },
        ticks: { show: false },
        ...(panel.is_log ? { splits: logTicks } : {}),
      },
    ],
    legend: {
      mount: (_plot, table) => legend.append(table),
      markers: {
        width: 2,
        stroke: (_plot, at) => colour(at),
        fill: (_plot, at) => (panel.lines[at - 1]?.fill ? `var(--${panel.lines[at - 1].fill})` : ""),
        dash: (_plot, at) => (panel.lines[at - 1]?.dashed ? "dashed" : "solid"),
      },
    },
    cursor: {
      y: false,
      points: { size: 8, width: 0, fill: (_plot, at) => ink(panel.lines[at - 1].ink) },
      dataIdx: (_plot, _series, at) => known(at),
      sync: { key: panel.x_axis, setSeries: false },
    },
    hooks: { draw: [marks(panel)] },
  };
}

// Moves the cursor with arrows, zooms around it with + and -, and resets with Escape.
function onKey(event, figure, plot) {
  const all = uPlot.sync(plot.cursor.sync.key).plots;
  const { min, max, distr } = plot.scales.x;
  const x = plot.data[0];
  const [first, last] = [min, max].map((value) => plot.valToIdx(value));
  let at = plot.cursor.idx ?? first;
  if (event.key in STEPS) at = Math.min(Math.max(at + STEPS[event.key], first), last);
  else if (event.key in ZOOMS) {
    const [to, from] = distr === 3 ? [Math.log, Math.exp] : [(value) => value, (value) => value];
    const half = ((to(max) - to(min)) * ZOOMS[event.key]) / 2;
    const range = {
      min: Math.max(from(to(x[at]) - half), x[0]),
      max: Math.min(from(to(x[at]) + half), x.at(-1)),
    };
    for (const one of all) one.setScale("x", range);
  } else if (event.key === "Escape") for (const one of all) one.setData(one.data);
  else return;
  event.preventDefault();
  // Scales change in a microtask.
  queueMicrotask(() => {
    plot.setCursor({ left: plot.valToPos(x[at], "x"), top: 1 }, true, true);
    document.getElementById("said").textContent = [...figure.querySelectorAll(".u-series:not(.edge)")]
      .map((row) => [...row.children].map((cell) => cell.textContent).join(" "))
      .join(", ");
  });
}
const STEPS = { ArrowLeft: -1, ArrowRight: 1 };
const ZOOMS = { "+": 0.5, "=": 0.5, "-": 2 };

const drawn = [...document.querySelectorAll("[data-panels]")].map((figure) => {
  const panels = JSON.parse(figure.dataset.panels);
  const plots = panels.map((panel, at) => {
    const values = panel.lines.map((one) =>
      // The last value holds until the end.
      one.style === "steps"
        ? [...one.values, one.values.at(-1)]
        : panel.x_axis === "time"
          ? [...one.values, null]
          : one.values,
    );
    const setUp = options(panel, figure, at, at === panels.length - 1);
    return new uPlot(setUp, [panel.x, ...values], (plot, init) => {
      figure.insertBefore(plot.root, figure.querySelector(".hint"));
      init();
    });
  });
  figure.addEventListener("keydown", (event) => onKey(event, figure, plots[0]));
  return { figure, plots };
});

function fit() {
  for (const { figure, plots } of drawn)
    for (const plot of plots) plot.setSize({ width: figure.clientWidth, height: plot.height });
}
new ResizeObserver(fit).observe(document.body);
// Paper and the dark scheme have colours of their own; setSize redraws.
for (const media of ["print", "(prefers-color-scheme: dark)"])
  matchMedia(media).addEventListener("change", fit);
// png.py reads the height of the page here. uPlot takes its size in a microtask.
queueMicrotask(() => {
  document.documentElement.dataset.heightPx = document.documentElement.scrollHeight;
});
