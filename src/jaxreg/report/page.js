"use strict";

// Tables: a click on a header sorts by its column: ascending, descending, as written.

const UNDEFINED = ["", "nan", "\u2013"];
const NUMBER = /^[+-]?(\d+\.?\d*(e[+-]?\d+)?|inf)$/;
const THOUSANDS = /^[+-]?\d{1,3}(,\d{3})+(\.\d*)?$/;
const natural = new Intl.Collator("en", { numeric: true });

// [0, number], [1, text], or [2] for an undefined value; `data-sort` stands for what a cell shows
function keyOf(cell) {
  const text = (cell.dataset.sort ?? cell.textContent).trim();
  if (UNDEFINED.includes(text)) return [2];
  let number = text.replaceAll("\u2212", "-");
  if (THOUSANDS.test(number)) number = number.replaceAll(",", "");
  return NUMBER.test(number) ? [0, Number(number.replace("inf", "Infinity"))] : [1, text];
}

// undefined values are last in both directions
function compare(a, b, direction) {
  if (a[0] === 2 || b[0] === 2) return a[0] - b[0];
  if (a[0] !== b[0]) return direction * (a[0] - b[0]);
  return direction * (a[0] ? natural.compare(a[1], b[1]) : (a[1] > b[1]) - (a[1] < b[1]));
}

function makeSortable(table) {
  const body = table.tBodies[0];
  const written = [...body.rows];
  const headers = [...table.tHead.rows[0].cells];
  headers.forEach((header, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "sort";
    button.append(...header.childNodes);
    header.append(button);
    button.addEventListener("click", () => {
      const next = { ascending: "descending", descending: null };
      const before = header.getAttribute("aria-sort");
      const now = before ? next[before] : "ascending";
      for (const other of headers) other.removeAttribute("aria-sort");
      let rows = written;
      if (now) {
        header.setAttribute("aria-sort", now);
        const keys = new Map(written.map((row) => [row, keyOf(row.cells[column])]));
        const direction = now === "ascending" ? 1 : -1;
        rows = [...written].sort((a, b) => compare(keys.get(a), keys.get(b), direction));
      }
      body.append(...rows);
    });
  });
}

// Pictures: a click opens one as large as the window allows.

function element(name, properties) {
  return Object.assign(document.createElement(name), properties);
}

function makeViewer() {
  const dialog = element("dialog", { className: "viewer" });
  const picture = element("img", {});
  const caption = element("div", { className: "told" });
  const count = element("span", {});
  const control = (label, text, act) => {
    const button = element("button", { type: "button", textContent: text, title: label });
    button.setAttribute("aria-label", label);
    button.addEventListener("click", (event) => { event.stopPropagation(); act(); });
    return button;
  };
  const bar = element("div", { className: "bar" });
  const back = control("Previous picture", "\u2190", () => show(at - 1));
  const on = control("Next picture", "\u2192", () => show(at + 1));
  const close = control("Close", "\u2715", () => dialog.close());
  close.autofocus = true;
  bar.append(back, count, on, close);
  dialog.append(bar, picture, caption);
  document.body.append(dialog);
  let images = [], at = 0;

  function show(number) {
    at = (number + images.length) % images.length;
    const image = images[at];
    const words = image.closest("figure")?.querySelector("figcaption");
    picture.src = image.src;
    picture.alt = image.alt;
    picture.className = image.classList.contains("plot") ? "plot" : "";
    caption.replaceChildren(...(words ? words.cloneNode(true).childNodes : [image.alt]));
    dialog.setAttribute("aria-label", image.alt);
    count.textContent = `${at + 1} / ${images.length}`;
    back.hidden = on.hidden = images.length < 2;
  }

  dialog.addEventListener("click", () => dialog.close());
  caption.addEventListener("click", (event) => event.stopPropagation());  // its text can be copied
  dialog.addEventListener("close", () => images[at].parentElement.focus());
  dialog.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step) show(at + step);
  });
  return (group, image) => {
    images = group;
    show(group.indexOf(image));
    dialog.showModal();
  };
}

function makeLarge(image, open) {
  const button = element("button", { type: "button", className: "open" });
  button.setAttribute("aria-label", `Show large: ${image.alt}`);
  image.before(button);
  button.append(image);
  button.addEventListener("click", () => {
    const group = image.closest(".worst, section, header");
    open([...group.querySelectorAll("button.open > img")], image);
  });
}

document.querySelectorAll("table").forEach(makeSortable);
const pictures = document.querySelectorAll("main img");
if (pictures.length) {
  const open = makeViewer();
  pictures.forEach((image) => makeLarge(image, open));
}
