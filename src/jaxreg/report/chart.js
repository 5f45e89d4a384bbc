
// Charts: the dot that is nearest to the mouse or the finger shows its row; so do the arrow keys.

const REACH = 24;  // pixels around a dot

// the pictures of dots that stand nowhere else on the page, by row
function pictureOf(row, pictures) {
  if (pictures[row]) return `data:image/jpeg;base64,${pictures[row]}`;
  return document.querySelector(`img[data-row="${Number(row)}"]`)?.src;
}

function makeChart(figure, pictures) {
  const { sides, points } = JSON.parse(figure.dataset.points);
  if (!points.length) return;
  const image = figure.querySelector("img");
  const ring = element("div", { className: "ring", hidden: true });
  const told = element("div", { className: "dot", hidden: true });
  told.setAttribute("role", "status");
  figure.append(ring, told);
  let at = null, touched = false;

  function show(number) {
    at = number;
    ring.hidden = told.hidden = number === null;
    if (number === null) return;
    const [x, y, row, side, truth, predicted, id] = points[number];
    ring.style.left = `${100 * x}%`;
    ring.style.top = `${100 * y}%`;
    const lines = [`true ${truth}`, `predicted ${predicted}`, sides[side], id];
    told.replaceChildren(...lines.map((text) => element("div", { textContent: text })));
    told.lastChild.className = "id";
    const source = pictureOf(row, pictures);
    if (source) told.prepend(element("img", { src: source, alt: "" }));
    // beside the dot, on the side where there is more room
    const place = (name, other, share) => {
      told.style[name] = `calc(${100 * share}% + .8rem)`;
      told.style[other] = "auto";
    };
    if (x < 0.5) place("left", "right", x); else place("right", "left", 1 - x);
    if (y < 0.5) place("top", "bottom", y); else place("bottom", "top", 1 - y);
  }

  function nearest(event) {
    const box = image.getBoundingClientRect();
    let found = null, least = REACH ** 2;
    points.forEach(([x, y], number) => {
      const across = box.left + x * box.width - event.clientX;
      const down = box.top + y * box.height - event.clientY;
      const apart = across ** 2 + down ** 2;
      if (apart < least) [found, least] = [number, apart];
    });
    return found;
  }

  figure.addEventListener("pointermove", (event) => {
    if (event.pointerType !== "touch") show(nearest(event));
  });
  figure.addEventListener("pointerleave", (event) => {
    if (event.pointerType !== "touch") show(null);
  });
  figure.addEventListener("pointerdown", (event) => { touched = event.pointerType === "touch"; });
  // a finger on a dot shows the row; elsewhere, as a click of a mouse, it opens the large picture
  figure.addEventListener("click", (event) => {
    const number = touched && event.detail ? nearest(event) : null;
    touched = false;
    show(number);
    if (number !== null) event.stopPropagation();
  }, true);
  figure.addEventListener("focusin", (event) => {
    if (at === null && event.target.matches(":focus-visible")) show(0);
  });
  figure.addEventListener("focusout", () => show(null));
  figure.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (event.key === "Escape") show(null);
    if (!step) return;
    event.preventDefault();
    show(at === null ? 0 : (at + step + points.length) % points.length);
  });
}

document.querySelectorAll(".chart[data-points^='{']").forEach((figure) => {
  makeChart(figure, JSON.parse(figure.closest("[data-pictures]").dataset.pictures || "{}"));
});
