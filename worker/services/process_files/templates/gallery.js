"use strict";
(() => {
  const tools = document.querySelector(".tools");
  const box = document.querySelector("#filter");
  const count = document.querySelector("#count");
  const cards = [...document.querySelectorAll("[data-find]")];
  const show = () => {
    const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const card of cards) {
      const hit = words.every((word) => card.dataset.find.includes(word));
      card.hidden = !hit;
      shown += hit;
    }
    count.textContent = words.length ? `${shown} of ${cards.length} shown` : "";
  };
  box.addEventListener("input", show);
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && event.target !== box) {
      event.preventDefault();
      box.focus();
    } else if (event.key === "Escape" && event.target === box) {
      box.value = "";
      show();
    }
  });
  tools.hidden = false;
  show();
})();
