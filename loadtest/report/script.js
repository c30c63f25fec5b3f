// Shows a crosshair at the pointer, and a tooltip with the values there. The charts are complete without it.
"use strict";
// png.py reads the height of the page here.
document.documentElement.dataset.heightPx = document.documentElement.scrollHeight;

const tip = document.getElementById("tip");
const nearest = (points, x) =>
  points.reduce((best, point) => (Math.abs(point[0] - x) < Math.abs(best[0] - x) ? point : best));

function line(name, value) {
  const row = document.createElement("div");
  for (const words of [name, value]) row.appendChild(document.createElement("span")).textContent = words;
  return row;
}

function place(box, x) {
  const gap = 14;
  const right = box.left + x + gap;
  const fits = right + tip.offsetWidth < document.documentElement.clientWidth;
  tip.style.left = `${window.scrollX + Math.max(4, fits ? right : box.left + x - gap - tip.offsetWidth)}px`;
  tip.style.top = `${window.scrollY + box.top + 24}px`;
}

for (const chart of document.querySelectorAll("svg[data-hover]")) {
  const points = JSON.parse(chart.dataset.hover);
  const cross = chart.querySelector(".cross");
  chart.addEventListener("pointermove", (event) => {
    const box = chart.getBoundingClientRect();
    const scale = box.width / chart.viewBox.baseVal.width;
    const [x, heading, values] = nearest(points, (event.clientX - box.left) / scale);
    cross.setAttribute("x1", x);
    cross.setAttribute("x2", x);
    chart.classList.add("pointed");
    const title = document.createElement("strong");
    title.textContent = heading;
    tip.replaceChildren(title, ...values.map(([name, value]) => line(name, value)));
    tip.classList.add("shown");
    place(box, x * scale);
  });
  chart.addEventListener("pointerleave", () => {
    chart.classList.remove("pointed");
    tip.classList.remove("shown");
  });
}
