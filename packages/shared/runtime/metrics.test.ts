import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { MetricsRegistry } from './metrics.ts';
import { addProcessMetrics } from './process-metrics.ts';

const help = 'Help.';

describe('the Prometheus text', () => {
  test('prints counters, gauges and readings', () => {
    const metrics = new MetricsRegistry();
    const records = metrics.counter({ name: 'fleetmq_records_in', help: 'Records\nthat came in.' });
    records.value += 3;
    records.add();
    metrics.gauge({ name: 'fleetmq_open', help }).value = -2.5;
    metrics.observed({ name: 'fleetmq_lag_seconds', help }, () => Number.POSITIVE_INFINITY);
    metrics.observedCounter({ name: 'fleetmq_sent_bytes', help, labels: ['peer'] }, () => [
      { labels: ['2'], value: 9 },
    ]);
    assert.equal(
      metrics.print(),
      [
        '# HELP fleetmq_records_in_total Records\\nthat came in.',
        '# TYPE fleetmq_records_in_total counter',
        'fleetmq_records_in_total 4',
        '# HELP fleetmq_open Help.',
        '# TYPE fleetmq_open gauge',
        'fleetmq_open -2.5',
        '# HELP fleetmq_lag_seconds Help.',
        '# TYPE fleetmq_lag_seconds gauge',
        'fleetmq_lag_seconds +Inf',
        '# HELP fleetmq_sent_bytes_total Help.',
        '# TYPE fleetmq_sent_bytes_total counter',
        'fleetmq_sent_bytes_total{peer="2"} 9',
        '',
      ].join('\n'),
    );
  });

  test('prints histograms cumulated, with the bound inside its bucket', () => {
    const metrics = new MetricsRegistry();
    const family = metrics.histograms({
      name: 'fleetmq_fsync_duration_seconds',
      help,
      labels: ['disk'],
      bounds: [0.1, 1],
    });
    for (const value of [0.05, 0.1, 0.5, 7]) family.series('a').observe(value);
    assert.deepEqual(metrics.print().trimEnd().split('\n').slice(2), [
      'fleetmq_fsync_duration_seconds_bucket{disk="a",le="0.1"} 2',
      'fleetmq_fsync_duration_seconds_bucket{disk="a",le="1"} 3',
      'fleetmq_fsync_duration_seconds_bucket{disk="a",le="+Inf"} 4',
      'fleetmq_fsync_duration_seconds_sum{disk="a"} 7.65',
      'fleetmq_fsync_duration_seconds_count{disk="a"} 4',
    ]);
  });

  test('escapes label values', () => {
    const metrics = new MetricsRegistry();
    metrics
      .counters({ name: 'fleetmq_x', help, labels: ['a'] })
      .series('q"b\\n\n')
      .add();
    assert.match(metrics.print(), /fleetmq_x_total\{a="q\\"b\\\\n\\n"\} 1\n$/);
  });

  test('keeps detail apart from summary', () => {
    const metrics = new MetricsRegistry();
    metrics.gauge({ name: 'fleetmq_a', help });
    metrics.gauge({ name: 'fleetmq_b', help, detail: true });
    assert.match(metrics.print('summary'), /fleetmq_a 0\n$/);
    assert.doesNotMatch(metrics.print('summary'), /fleetmq_b/);
    assert.match(metrics.print('detail'), /fleetmq_b 0\n$/);
    assert.equal(new MetricsRegistry().print(), '');
  });
});

describe('families', () => {
  test('give the same series for the same labels, and forget what is dropped', () => {
    const family = new MetricsRegistry().counters({ name: 'fleetmq_x', help, labels: ['a', 'b'] });
    family.series('1', '2').add(5);
    assert.equal(family.series('1', '2').value, 5);
    family.drop('1', '2');
    assert.equal(family.series('1', '2').value, 0);
  });

  test('are bounded: what is too many shares one series', () => {
    const metrics = new MetricsRegistry();
    const family = metrics.counters({ name: 'fleetmq_x', help, labels: ['topic'], seriesMax: 2 });
    for (let i = 0; i < 10; i++) family.series(`t${i}`).add();
    const lines = metrics.print().trimEnd().split('\n').slice(2);
    assert.deepEqual(lines, [
      'fleetmq_x_total{topic="t0"} 1',
      'fleetmq_x_total{topic="t1"} 1',
      'fleetmq_x_total{topic="other"} 8',
    ]);
  });

  test('refuse bad names, repeated names, bounds that do not rise, and missing labels', () => {
    const metrics = new MetricsRegistry();
    assert.throws(() => metrics.gauge({ name: 'x', help }), /begins with fleetmq_/);
    assert.throws(() => metrics.gauge({ name: 'fleetmq_x{}', help }), /begins with fleetmq_/);
    metrics.gauge({ name: 'fleetmq_x', help });
    assert.throws(() => metrics.gauge({ name: 'fleetmq_x', help }), /is there already/);
    assert.throws(() => metrics.histogram({ name: 'fleetmq_h', help, bounds: [1, 1] }), /rise: 1, 1/);
    assert.throws(() => metrics.gauges({ name: 'fleetmq_y', help, labels: ['a'] }).series(), /labels \[a\]/);
  });
});

test('every process says what it is and how it does', () => {
  const metrics = new MetricsRegistry();
  using _measuring = addProcessMetrics(metrics, { service: 'broker', version: '0.1.0' });
  const text = metrics.print();
  assert.match(text, /fleetmq_build_info\{service="broker",version="0\.1\.0",node="v\d+[^"]*"\} 1\n/);
  assert.match(text, /fleetmq_memory_bytes\{kind="rss"\} [1-9]\d+\n/);
  assert.match(text, /fleetmq_event_loop_lag_seconds\{quantile="0\.99"\} \d/);
  assert.match(text, /fleetmq_start_time_seconds 1\d{9}\n/);
});
