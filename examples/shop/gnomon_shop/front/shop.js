// The shop's page: products, one product, the cart, the till. No library, no build.

const PAGE = 12;
const byId = (id) => document.getElementById(id);
const euros = (cents) => (cents / 100).toLocaleString("en", { style: "currency", currency: "EUR" });
const view = { q: "", page: 1, product: null };

// Who one is: kept by the browser, sent with every request.
const visitor = (store, key, prefix) => {
  const id = store.getItem(key) ?? prefix + crypto.randomUUID().slice(0, 8);
  store.setItem(key, id);
  return id;
};
const headers = {
  "content-type": "application/json",
  "x-user": visitor(localStorage, "user", "u-web-"),
  "x-session": visitor(sessionStorage, "session", "web-"),
};

async function ask(path, body) {
  const answer = await fetch(path, { headers, ...(body && { method: "POST", body: JSON.stringify(body) }) });
  const content = await answer.json();
  if (!answer.ok) throw new Error(typeof content.detail === "string" ? content.detail : answer.statusText);
  return content;
}

function say(what) {
  byId("said").textContent = what;
  byId("said").classList.add("shown");
  clearTimeout(say.timer);
  say.timer = setTimeout(() => byId("said").classList.remove("shown"), 2500);
}

// Runs what a click or a key asks for; what fails is said.
const tried =
  (act) =>
  async (...given) => {
    try {
      await act(...given);
    } catch (error) {
      say(error.message);
    }
  };

const element = (name, properties, ...children) => {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
};

// The golden angle: neighbours differ most.
const hue = (id) => (Number(id.replace(/\D/g, "")) * 137.5) % 360;

function swatch(id) {
  const made = element("div", { className: "swatch" });
  made.style.setProperty("--hue", hue(id));
  return made;
}

const card = (product) =>
  element(
    "button",
    { className: "item", type: "button", onclick: tried(() => show(product.id)) },
    swatch(product.id),
    element(
      "div",
      {},
      element("b", { textContent: product.name }),
      element("span", { className: "price", textContent: euros(product.cents) }),
    ),
  );

async function list() {
  const query = new URLSearchParams({ q: view.q, page: view.page });
  const { products, categories } = await ask(`/api/products?${query}`);
  byId("products").replaceChildren(
    ...(products.length ? products.map(card) : [element("p", { textContent: "Nothing found." })]),
  );
  byId("page").textContent = view.page;
  byId("back").disabled = view.page === 1;
  byId("next").disabled = products.length < PAGE;
  byId("categories").replaceChildren(
    ...["", ...categories.map((one) => one.category)].map((category) => {
      const button = element("button", {
        type: "button",
        textContent: category || "everything",
        onclick: tried(() => search(category)),
      });
      button.setAttribute("aria-pressed", category === view.q);
      return button;
    }),
  );
}

function search(q) {
  Object.assign(view, { q, page: 1 });
  return list();
}

async function show(id) {
  const product = await ask(`/api/products/${encodeURIComponent(id)}`);
  view.product = product.id;
  byId("product-name").textContent = product.name;
  byId("product-price").textContent = euros(product.cents);
  byId("product-swatch").style.setProperty("--hue", hue(product.id));
  byId("similar").replaceChildren();
  if (!byId("product").open) byId("product").showModal();
  const { products } = await ask(`/api/recommendations?product=${encodeURIComponent(id)}`);
  byId("similar").replaceChildren(
    ...products.map((one) =>
      element("button", { type: "button", textContent: one.name, onclick: tried(() => show(one.id)) }),
    ),
  );
}

function fill(cart) {
  byId("count").textContent = cart.items.reduce((sum, item) => sum + item.quantity, 0);
  byId("sum").textContent = euros(cart.cents);
  byId("buy").disabled = cart.items.length === 0;
  byId("items").replaceChildren(
    ...cart.items.map((item) =>
      element(
        "li",
        {},
        element("span", { textContent: `${item.quantity} × ${item.name}` }),
        element("span", { textContent: euros(item.cents * item.quantity) }),
      ),
    ),
  );
}

async function like() {
  const { products } = await ask("/api/recommendations");
  byId("recommended").replaceChildren(...products.map(card));
  byId("liked").hidden = products.length === 0;
}

byId("search").onsubmit = (event) => {
  event.preventDefault();
  tried(search)(new FormData(event.target).get("q").trim());
};
const turn = (by) =>
  tried(() => {
    view.page += by;
    return list();
  });
byId("back").onclick = turn(-1);
byId("next").onclick = turn(1);
byId("add").onclick = tried(async () => {
  fill(await ask("/api/cart", { product: view.product, quantity: 1 }));
  byId("product").close();
  say("It is in the cart.");
});
byId("open-cart").onclick = tried(async () => {
  fill(await ask("/api/cart"));
  byId("cart").showModal();
});
byId("buy").onclick = tried(async () => {
  const { order, cents } = await ask("/api/checkout", {});
  byId("cart").close();
  fill(await ask("/api/cart"));
  say(`Thank you! Order ${order}, ${euros(cents)} after the discount.`);
});

for (const part of [list, async () => fill(await ask("/api/cart")), like]) tried(part)();
