// Selects and copies the link of a shared plot, and shows all of a fold that opens.

const link = document.getElementById("share"), copy = document.getElementById("copy"), fold = document.querySelector(".fold");
if (link) {
  link.onfocus = () => link.select();
  copy.hidden = false;
  copy.onclick = () => {
    link.select();
    if (document.execCommand("copy")) copy.textContent = copy.dataset.copied;  // navigator.clipboard needs HTTPS
  };
  if (document.activeElement === link) link.select();
}
fold.ontoggle = () => fold.scrollIntoView({ block: "nearest" });
