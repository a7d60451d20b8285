-- What every run tells at its end, as one line of JSON: times in microseconds.
done = function(summary, latency)
   local errors = summary.errors
   io.write(string.format(
      '\n{"requests":%d,"micros":%d,"failed":%d,"not_2xx_3xx":%d,"p50":%d,"p99":%d,"p999":%d,"max":%d}\n',
      summary.requests, summary.duration, errors.connect + errors.read + errors.write + errors.timeout,
      errors.status, latency:percentile(50), latency:percentile(99), latency:percentile(99.9), latency.max))
end
