// chart.mjs -- the comparison as a picture: a bar per network, as long as ingot is faster than the peer; a mark where the roofline is.
//
//        network |#########:####      <>     1.32      the peer is the line at 1; <> is what the roofline allows
//
// Plain SVG without scripts or fonts of its own, so that it shows the same in a browser, on a code host and in a document.

const font = 'system-ui, -apple-system, Segoe UI, Roboto, Helvetica, Arial, sans-serif';
const color = { ink: '#1f2933', faint: '#7b8794', grid: '#e4e7eb', faster: ['#0b7285', '#66a9b5'], slower: ['#c2410c', '#e39b7a'], roof: '#1f2933', panel: '#ffffff', peer: '#9aa5b1' };
const size = { width: 860, label: 170, right: 120, top: 92, bar: 15, gap: 9, bottom: 46 };

const escape = text => String(text).replace(/[&<>"]/g, c => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[c]);

function text(x, y, content, { anchor = 'start', fill = color.ink, points = 12, weight = 400 } = {}) {
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" text-anchor="${anchor}" font-size="${points}" font-weight="${weight}" fill="${fill}">${escape(content)}</text>`;
}

const rectangle = (x, y, w, h, fill, round = 2) => `<rect x="${x.toFixed(1)}" y="${y.toFixed(1)}" width="${w.toFixed(1)}" height="${h.toFixed(1)}" rx="${round}" fill="${fill}"/>`;
const line = (x, y1, y2, stroke, more = '') => `<line x1="${x.toFixed(1)}" y1="${y1.toFixed(1)}" x2="${x.toFixed(1)}" y2="${y2.toFixed(1)}" stroke="${stroke}" ${more}/>`;
const diamond = (x, y, r, fill) => `<path d="M${(x - r).toFixed(1)} ${y.toFixed(1)} l${r} ${-r} l${r} ${r} l${-r} ${r} z" fill="${fill}" stroke="${color.panel}"/>`;

/** Bars of one network or of the mean: [{ label, bars: [{ threads, ratio, roof }] }]. */
function groups(result) {
  const names = [...new Set(result.rows.filter(r => !r.error).map(r => r.name))];
  const list = names.map(label => ({
    label, bars: result.rows.filter(r => r.name === label && !r.error).map(r => ({ threads: r.threads, ratio: r.ratio, roof: r.roof_ms ? r.peer.median_ms / r.roof_ms : 0 })),
  }));
  return [...list, { label: 'geometric mean', mean: true, bars: result.totals.map(t => ({ threads: t.threads, ratio: t.mean })) }];
}

/** The axis ends at a round number beyond the longest bar; roofline marks farther out are clipped to its end. */
function axisEnd(list) {
  const longest = Math.max(1.2, ...list.flatMap(g => g.bars.map(b => b.ratio)));
  const roofs = list.flatMap(g => g.bars.map(b => b.roof ?? 0)).sort((a, b) => a - b);
  const most = Math.max(longest, Math.min(roofs[Math.floor(roofs.length * 0.9)] ?? 0, 2 * longest));
  return Math.ceil(most * 1.06 * 4) / 4;
}

function drawGroup(group, y, scale, threadCounts, end) {
  const out = [], height = size.bar / group.bars.length, middle = y + size.bar / 2;
  out.push(text(size.label - 10, middle + 4, group.label, { anchor: 'end', weight: group.mean ? 700 : 400 }));
  group.bars.forEach((b, i) => {
    const shade = (b.ratio >= 1 ? color.faster : color.slower)[threadCounts.indexOf(b.threads) ? 1 : 0], top = y + i * height;
    out.push(rectangle(size.label, top, b.ratio * scale, height - (group.bars.length > 1 ? 1 : 0), shade));
    if (b.roof && b.roof <= end) out.push(diamond(size.label + b.roof * scale, top + height / 2, group.bars.length > 1 ? 3 : 4.5, color.roof));
  });
  const said = group.bars.map(b => b.ratio.toFixed(2)).join(' / ');
  return [...out, text(size.width - 18, middle + 4, said, { anchor: 'end', weight: group.mean ? 700 : 600 })];
}

function legend(result, threadCounts) {
  const out = [];
  let x = size.label;
  threadCounts.forEach((n, i) => {
    out.push(rectangle(x, 60, 14, 10, color.faster[i ? 1 : 0]), text(x + 20, 69, `ingot, ${n} thread${n === 1 ? '' : 's'}`, { points: 11, fill: color.faint }));
    x += 122;
  });
  out.push(line(x + 4, 58, 72, color.peer, 'stroke-width="2"'), text(x + 14, 69, result.peer, { points: 11, fill: color.faint }));
  x += 150;
  out.push(diamond(x + 4, 65, 4.5, color.roof), text(x + 14, 69, 'roofline: direct arithmetic at the measured peak', { points: 11, fill: color.faint }));
  return out;
}

function drawAxis(scale, end, bottom) {
  const out = [], step = end > 4 ? 1 : end > 2 ? 0.5 : 0.25;
  for (let v = 0; v <= end + 1e-9; v += step) {
    if (Math.abs(v - 1) > 1e-9) out.push(line(size.label + v * scale, size.top - 6, bottom, color.grid));
    out.push(text(size.label + v * scale, bottom + 16, String(v), { anchor: 'middle', points: 11, fill: color.faint }));
  }
  return out;
}

/** SVG text of what compare() found. */
export function drawChart(result) {
  const list = groups(result), threadCounts = [...new Set(result.rows.map(r => r.threads))], end = axisEnd(list);
  const scale = (size.width - size.label - size.right) / end, bottom = size.top + list.length * (size.bar + size.gap) + 8;
  const out = [text(size.label, 28, `Speed of ingot relative to ${result.peer}`, { points: 17, weight: 700 }),
    text(size.label, 46, `${result.cpu}; longer is faster`, { points: 12, fill: color.faint }), ...legend(result, threadCounts), ...drawAxis(scale, end, bottom)];
  list.forEach((g, i) => out.push(...drawGroup(g, size.top + i * (size.bar + size.gap) + (g.mean ? 8 : 0), scale, threadCounts, end)));
  out.push(line(size.label + scale, size.top - 6, bottom, color.peer, 'stroke-width="2" stroke-opacity="0.8"'));
  const height = bottom + size.bottom - 14;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${size.width} ${height}" width="${size.width}" height="${height}" font-family="${font}" role="img">\n` +
    `<title>Speed of ingot relative to ${escape(result.peer)}</title>\n${rectangle(0, 0, size.width, height, color.panel, 8)}\n${out.join('\n')}\n</svg>\n`;
}
