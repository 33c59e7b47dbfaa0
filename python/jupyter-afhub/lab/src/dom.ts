// Elements are made one by one, with text as text: nothing that was read from the server becomes HTML.

type Attributes = Record<string, string | number | boolean | null>;

const SVG = 'http://www.w3.org/2000/svg';

function fill(element: Element, attributes: Attributes, children: (Node | string)[]): void {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== false) {
      element.setAttribute(name, value === true ? '' : String(value));
    }
  }
  element.append(...children);
}

export function make<Name extends keyof HTMLElementTagNameMap>(
  name: Name,
  attributes: Attributes = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[Name] {
  const element = document.createElement(name);
  fill(element, attributes, children);
  return element;
}

export function draw<Name extends keyof SVGElementTagNameMap>(
  name: Name,
  attributes: Attributes = {},
  ...children: (Node | string)[]
): SVGElementTagNameMap[Name] {
  const element = document.createElementNS(SVG, name);
  fill(element, attributes, children);
  return element;
}

/** Makes `body`, in the focusable `frame`, show these parts. What did not change stays, and so does the focus: who selects or hears it is not
 * disturbed. Where the element with the focus (known by its data-key) is gone, the frame gets it. */
export function bringUpToDate(frame: HTMLElement, body: HTMLElement, parts: Element[]): void {
  const shown = [...body.children];
  const focused = frame.contains(document.activeElement) ? document.activeElement?.getAttribute('data-key') : null;
  shown.slice(parts.length).forEach(old => {
    old.remove();
  });
  parts.forEach((part, place) => {
    const old = shown[place];
    if (!old) {
      body.append(part);
    } else if (!old.isEqualNode(part)) {
      old.replaceWith(part);
    }
  });
  if (focused && !frame.contains(document.activeElement)) {
    (body.querySelector<HTMLElement>(`[data-key="${CSS.escape(focused)}"]`) ?? frame).focus();
  }
}
