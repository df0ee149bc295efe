// What pages do by themselves: count letters, tell how far an evening is away, ask before something is undone, and
// follow a genre without loading the page again.

const DAY = 24 * 60 * 60 * 1000;

/** Tell how much may still be written, once less than a quarter is left. */
export function remaining(length, longest) {
  const left = longest - length;
  return left * 4 < longest ? `${left} left` : "";
}

/** Tell how far a date is away; both dates in ISO form. */
export function distance(evening, today) {
  const days = Math.round((Date.parse(evening) - Date.parse(today)) / DAY);
  if (days === 0) return "today";
  if (days === 1) return "tomorrow";
  return days > 1 ? `in ${days} days` : "over";
}

/** Follow a genre or stop following it, and tell whether it is followed; `send` is the browser's fetch. */
export async function follow(genre, token, send) {
  const answer = await send("/api/favourites", {
    method: "POST",
    headers: { "X-CSRF-Token": token, "Content-Type": "application/x-www-form-urlencoded" },
    body: new URLSearchParams({ genre }).toString(),
  });
  if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
  return (await answer.json()).following.includes(genre);
}

function countLetters(area) {
  const counter = area.parentElement.querySelector(".remaining");
  const show = () => (counter.textContent = remaining(area.value.length, area.maxLength));
  area.addEventListener("input", show);
  show();
}

function followOnClick(button, token) {
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      button.setAttribute("aria-pressed", String(await follow(button.dataset.follow, token, fetch)));
    } finally {
      button.disabled = false;
    }
  });
}

function start() {
  const token = document.querySelector("meta[name=csrf-token]").content;
  const today = new Date().toISOString().slice(0, 10);
  for (const area of document.querySelectorAll("textarea[maxlength]")) countLetters(area);
  for (const time of document.querySelectorAll("time.day")) time.title = distance(time.dateTime, today);
  for (const button of document.querySelectorAll("[data-follow]")) followOnClick(button, token);
  document.addEventListener("submit", (event) => {
    const question = event.target.dataset.confirm;
    if (question && !confirm(question)) event.preventDefault();
  });
}

if (typeof document !== "undefined") start();
