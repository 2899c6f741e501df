// A figure that the page shows smaller than it was drawn leads to itself in full size.
document.addEventListener("DOMContentLoaded", () => {
  for (const image of document.querySelectorAll("article img")) {
    const lead = () => {
      if (image.closest("a") || image.naturalWidth < 1.2 * image.clientWidth) return;
      const link = Object.assign(document.createElement("a"), { href: image.src, title: "In full size" });
      image.replaceWith(link);
      link.append(image);
    };
    if (image.complete) lead();
    else image.addEventListener("load", lead);
  }
});
