"""The laboratory of benches/compare: processes, peers, loads, scenarios, and what is reported of them."""
