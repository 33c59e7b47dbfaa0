// Icons are told apart by their outline, not by colour alone.
import type { Level } from './model.ts';

const SVG = 'http://www.w3.org/2000/svg';

const OUTLINES: Record<Level | 'away', { label: string; path: string }> = {
  ok: { label: 'ok', path: 'M8 1a7 7 0 1 1 0 14A7 7 0 0 1 8 1Zm-1 9.6 4.9-4.9-1.1-1.1L7 8.4 5.2 6.6 4.1 7.7Z' },
  warning: { label: 'warning', path: 'M8 1 15.5 15H.5ZM7.2 6v4.6h1.6V6Zm0 5.8v1.6h1.6v-1.6Z' },
  error: { label: 'error', path: 'M5 1h6l4 4v6l-4 4H5l-4-4V5Zm2.2 3v5h1.6V4Zm0 6.4V12h1.6v-1.6Z' },
  away: { label: 'away', path: 'M8 1a7 7 0 1 1 0 14A7 7 0 0 1 8 1Zm0 1.6a5.4 5.4 0 1 0 0 10.8A5.4 5.4 0 0 0 8 2.6ZM4.5 7.2h7v1.6h-7Z' }
};

/** The sign of a level, 14 pixels wide, in the colour of the text around it. For the eye only: the words are beside it. */
export function sign(level: Level | 'away'): SVGSVGElement {
  const svg = document.createElementNS(SVG, 'svg');
  for (const [name, value] of Object.entries({
    viewBox: '0 0 16 16',
    width: '14',
    height: '14',
    'aria-hidden': 'true',
    focusable: 'false'
  })) {
    svg.setAttribute(name, value);
  }
  svg.dataset['sign'] = OUTLINES[level].label;
  const path = document.createElementNS(SVG, 'path');
  path.setAttribute('d', OUTLINES[level].path);
  path.setAttribute('fill', 'currentColor');
  path.setAttribute('fill-rule', 'evenodd');
  svg.append(path);
  return svg;
}

/** For the side bar: a gauge. */
export const GAUGE =
  '<svg xmlns="http://www.w3.org/2000/svg" width="16" height="16" viewBox="0 0 16 16">' +
  '<path class="jp-icon3 jp-icon-selectable" fill="#616161" fill-rule="evenodd" d="M8 2.5a7 7 0 0 1 6 10.6H2A7 7 0 0 1 8 2.5Zm0 1.6a5.4 5.4 0 0 0-5 7.4h10a5.4 5.4 0 0 0-5-7.4Z' +
  'M11.3 6.2 8.9 10.6a1.2 1.2 0 1 1-1.3-1.1Z"/></svg>';
