// Draws every figure.chart from the JSON beside it, with Chart.js. Colours come from page.css, so
// that light, dark and print follow it; arrow keys walk through the points and read them out.
'use strict';
(() => {
  const kDashes = [[], [6, 3], [2, 2], [8, 3, 2, 3], [12, 4]];
  const kShapes = ['circle', 'rect', 'triangle', 'rectRot', 'cross', 'star'];
  const color = name =>
      getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const seriesColor = index => color('--series-' + index % 8);
  const digits = value => value === null ? 'none' : String(Number(Number(value).toPrecision(4)));
  const isCategorical = spec => !['line', 'scatter'].includes(spec.kind);

  // Clouds of points: small, without words beside them.
  const dense = spec => spec.kind === 'scatter' &&
      spec.series.some(series => !series.joined && series.y.length > 60);

  // Bars of a waterfall reach from the sum before to the sum after; the last is the whole.
  function waterfall(values) {
    let sum = 0;
    const bars = values.map(value => [sum, sum += value]);
    return bars.concat([[0, sum]]);
  }

  function dataset(spec, series, index) {
    // Colours are functions: light, dark and print ask again.
    const ink = () => seriesColor(index);
    const set = {label: series.name, series, borderWidth: 2, borderColor: ink, backgroundColor: ink};
    if (spec.kind === 'waterfall') {
      set.data = waterfall(series.y);
      set.maxBarThickness = 40;
      set.borderColor = set.backgroundColor =
          item => seriesColor(item.dataIndex === series.y.length ? 1 : 0);
    } else if (isCategorical(spec)) {
      set.data = series.y;
      set.maxBarThickness = 40;
    } else {
      set.data = series.x.map((x, i) => ({x, y: series.y[i]}));
      const line = spec.kind === 'line' || series.joined;
      set.showLine = line;
      set.borderDash = kDashes[index % kDashes.length];
      set.pointStyle = kShapes[index % kShapes.length];
      set.pointRadius = dense(spec) ? 2 : set.data.length > 60 ? 0 : line ? 3 : 5;
      set.pointHitRadius = 8;
    }
    return set;
  }

  // Intervals: a band behind a line, whiskers on points and bars. Labels beside points, each only
  // where no other label or point is yet.
  const intervals = {
    id: 'intervals',
    beforeDatasetsDraw(chart) {
      const spec = chart.config.options.spec;
      if (spec.kind !== 'line') {
        return;
      }
      chart.data.datasets.forEach((set, i) => {
        const series = set.series;
        if (!series.low || !chart.isDatasetVisible(i)) {
          return;
        }
        const {ctx, scales, chartArea} = chart;
        const at = (x, y) => [scales.x.getPixelForValue(x), scales.y.getPixelForValue(y)];
        const known = series.x.map((_, j) => j).filter(
            j => series.low[j] !== null && series.high[j] !== null);
        ctx.save();
        ctx.beginPath();
        ctx.rect(chartArea.left, chartArea.top, chartArea.width, chartArea.height);
        ctx.clip();
        ctx.beginPath();
        known.forEach(j => ctx.lineTo(...at(series.x[j], series.high[j])));
        known.reverse().forEach(j => ctx.lineTo(...at(series.x[j], series.low[j])));
        ctx.closePath();
        ctx.globalAlpha = 0.2;
        ctx.fillStyle = seriesColor(i);
        ctx.fill();
        ctx.restore();
      });
    },
    afterDatasetsDraw(chart) {
      const spec = chart.config.options.spec;
      if (spec.kind === 'line' || spec.kind === 'waterfall' || spec.kind === 'stacked') {
        return;
      }
      const {ctx} = chart;
      const scale = chart.scales[spec.horizontal ? 'x' : 'y'];
      ctx.save();
      const cap = dense(spec) ? 0 : 4;
      ctx.lineWidth = dense(spec) ? 0.8 : 1.2;
      ctx.globalAlpha = dense(spec) ? 0.4 : 1;
      chart.data.datasets.forEach((set, i) => {
        ctx.strokeStyle = dense(spec) ? seriesColor(i) : color('--ink');
        if (!set.series.low || !chart.isDatasetVisible(i)) {
          return;
        }
        chart.getDatasetMeta(i).data.forEach((element, j) => {
          const low = set.series.low[j], high = set.series.high[j];
          if (low === null || high === null) {
            return;
          }
          const a = scale.getPixelForValue(low), b = scale.getPixelForValue(high);
          const across = spec.horizontal ? element.y : element.x;
          const to = (along, side) =>
              spec.horizontal ? [along, across + side] : [across + side, along];
          ctx.beginPath();
          for (const [from, until] of
                   [[to(a, 0), to(b, 0)], [to(a, -cap), to(a, cap)], [to(b, -cap), to(b, cap)]]) {
            ctx.moveTo(...from);
            ctx.lineTo(...until);
          }
          ctx.stroke();
        });
      });
      ctx.restore();
      if (spec.kind === 'scatter' && !dense(spec)) {
        labels(chart);
      }
    }
  };

  function labels(chart) {
    const {ctx, chartArea} = chart;
    ctx.save();
    ctx.font = '12px system-ui, sans-serif';
    ctx.fillStyle = color('--ink');
    ctx.textBaseline = 'middle';
    const taken = [];
    const free = box => taken.every(
        t => box.right < t.left || box.left > t.right || box.bottom < t.top || box.top > t.bottom);
    chart.data.datasets.forEach((set, i) => {
      if (!set.series.label || !chart.isDatasetVisible(i)) {
        return;
      }
      chart.getDatasetMeta(i).data.forEach((element, j) => {
        const text = set.series.label[j];
        const width = ctx.measureText(text).width;
        for (const [left, y] of [[element.x + 8, element.y], [element.x - 8 - width, element.y],
                                 [element.x - width / 2, element.y - 12],
                                 [element.x - width / 2, element.y + 14]]) {
          const box = {left, right: left + width, top: y - 7, bottom: y + 7};
          if (text && left >= chartArea.left && box.right <= chart.width && free(box)) {
            ctx.fillText(text, left, y);
            taken.push(box);
            break;
          }
        }
      });
    });
    ctx.restore();
  }

  function axis(spec, value) {
    const description = value ? spec.y : spec.x;
    const ink = () => color('--ink');
    const scale = {
      title: {display: description.title !== '', text: description.title, color: ink},
      ticks: {autoSkip: value || !spec.horizontal, maxRotation: 60, color: ink},
      grid: {color: () => color('--grid')}
    };
    if (value || !isCategorical(spec)) {
      scale.type = description.logarithmic ? 'logarithmic' : 'linear';
    }
    if (value) {
      scale.stacked = spec.kind === 'stacked';
      const ends = spec.series.flatMap(s => (s.low || []).concat(s.high || []))
                       .filter(v => v !== null && (v > 0 || !description.logarithmic));
      if (ends.length) {
        scale.suggestedMin = Math.min(...ends);
        scale.suggestedMax = Math.max(...ends);
      }
      if (!description.logarithmic && spec.kind !== 'scatter') {
        scale.suggestedMin = Math.min(0, scale.suggestedMin || 0);
      }
    } else {
      scale.stacked = spec.kind === 'stacked';
      scale.bounds = spec.kind === 'line' ? 'data' : 'ticks';
    }
    return scale;
  }

  // One point in words: for the tooltip and for screen readers.
  function inWords(spec, series, index) {
    const name = spec.series.length > 1 && series.name ? series.name + ': ' : '';
    let where = '', value = series.y[index];
    if (spec.kind === 'waterfall' && index === series.y.length) {
      where = 'Sum, ';
      value = series.y.reduce((a, b) => a + b, 0);
    } else if (isCategorical(spec)) {
      where = spec.categories[index] + ', ';
    } else {
      const label = series.label && series.label[index] ? series.label[index] + ', ' : '';
      where = label + spec.x.title + ' ' + digits(series.x[index]) + ', ';
    }
    const interval = series.low && index < series.low.length && series.low[index] !== null ?
        ' (' + digits(series.low[index]) + ' to ' + digits(series.high[index]) + ')' : '';
    return name + where + spec.y.title + ' ' + digits(value) + interval;
  }

  function config(spec) {
    const bars = isCategorical(spec);
    const horizontal = bars && spec.horizontal;
    return {
      type: bars ? 'bar' : 'scatter',
      data: {
        labels: spec.kind === 'waterfall' ? spec.categories.concat(['Sum']) : spec.categories,
        datasets: spec.series.map((series, i) => dataset(spec, series, i))
      },
      plugins: [intervals],
      options: {
        spec,
        responsive: true,
        maintainAspectRatio: false,
        animation: false,
        indexAxis: horizontal ? 'y' : 'x',
        scales: {x: axis(spec, horizontal), y: axis(spec, !horizontal)},
        plugins: {
          legend: {
            display: spec.series.length > 1,
            labels: {usePointStyle: !bars, color: color('--ink')}
          },
          tooltip: {
            callbacks: {
              title: () => '',
              label: item => inWords(spec, item.dataset.series, item.dataIndex)
            }
          }
        }
      }
    };
  }

  // Left and right walk along a series, up and down change it.
  function walk(chart, canvas) {
    const spec = chart.config.options.spec;
    const live = document.getElementById('live');
    let series = 0, index = -1;
    canvas.addEventListener('keydown', event => {
      const steps = {ArrowRight: 1, ArrowLeft: -1, Home: -Infinity, End: Infinity};
      const turns = {ArrowUp: -1, ArrowDown: 1};
      if (event.key in turns) {
        series = (series + turns[event.key] + spec.series.length) % spec.series.length;
      } else if (!(event.key in steps)) {
        return;
      }
      event.preventDefault();
      const last = chart.data.datasets[series].data.length - 1;
      index = Math.max(0, Math.min(last, index + (steps[event.key] || 0)));
      const element = chart.getDatasetMeta(series).data[index];
      const active = [{datasetIndex: series, index}];
      chart.setActiveElements(active);
      chart.tooltip.setActiveElements(active, {x: element.x, y: element.y});
      chart.update('none');
      live.textContent = inWords(spec, spec.series[series], index);
    });
    canvas.addEventListener('blur', () => {
      chart.setActiveElements([]);
      chart.tooltip.setActiveElements([], {x: 0, y: 0});
      chart.update('none');
    });
  }

  const charts = [];
  for (const figure of document.querySelectorAll('figure.chart')) {
    const spec = JSON.parse(figure.querySelector('script[type="application/json"]').textContent);
    const canvas = figure.querySelector('canvas');
    if (spec.series.length === 0) {
      continue;
    }
    const chart = new Chart(canvas, config(spec));
    walk(chart, canvas);
    charts.push(chart);
  }
  const repaint = () => charts.forEach(chart => {
    chart.config.options.plugins.legend.labels.color = color('--ink');
    chart.resize();
    chart.update('none');
  });
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', repaint);
  // Paper is white.
  addEventListener('beforeprint', () => {
    document.documentElement.classList.add('printing');
    repaint();
  });
  addEventListener('afterprint', () => {
    document.documentElement.classList.remove('printing');
    repaint();
  });
})();
