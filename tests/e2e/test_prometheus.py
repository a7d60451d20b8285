"""Debian's Prometheus before the gateway: its metrics are scraped and clean, the dashboard's queries have answers, and the
alerts fire on what they are for."""

import json
import pathlib
import re
import shutil
import subprocess

import pytest
import requests
from conftest import PATIENCE, ROOT, Process, free_port, wait_for

DASHBOARD = ROOT / "deploy" / "grafana" / "bookend.json"
ALERTS = ROOT / "deploy" / "prometheus" / "alerts.yml"


def promtool(*arguments, given=None):
    done = subprocess.run(["promtool", *map(str, arguments)], input=given, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout + done.stderr


class Prometheus:
    """Scrapes `gateway` every half second, as the job "bookend", with the alerts loaded."""

    def __init__(self, gateway, folder, *flags):
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        config = folder / "prometheus.yml"
        config.write_text(
            "global: { scrape_interval: 500ms, scrape_timeout: 500ms, evaluation_interval: 1s }\n"
            f"rule_files: [{ALERTS}]\n"
            "scrape_configs:\n"
            "  - job_name: bookend\n"
            f"    static_configs: [{{ targets: ['{gateway.admin_url.removeprefix('http://')}'] }}]\n"
        )
        self.process = Process(
            [
                "prometheus",
                f"--config.file={config}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
                *flags,
            ]
        )
        self.process.await_output("ready to receive web requests")

    def query(self, expression):
        answer = requests.get(f"{self.url}/api/v1/query", params={"query": expression}, timeout=PATIENCE).json()
        assert answer["status"] == "success", f"{expression}: {answer}"
        return answer["data"]["result"]

    def number(self, expression):
        result = self.query(expression)
        return float(result[0]["value"][1]) if result else None


@pytest.fixture
def busy(flask_api, gateway):
    """A gateway that has answered requests in all ways, an API of it that is down, and some of its own errors."""
    busy = gateway(
        flask_api.url,
        more=f"""
[upstreams.gone]
servers = ["http://127.0.0.1:{free_port()}"]

[[route]]
match = "/gone/{{*rest}}"
upstream = "gone"

[[route]]
match = "/books/{{id}}"
ttl = "1m"
""",
    )
    ask(busy)
    return busy


def ask(gateway):
    for method, path in [("GET", "/books/123")] * 3 + [("GET", "/books"), ("POST", "/nothing"), ("GET", "/gone/1"), ("GET", "/a b")]:
        requests.request(method, gateway.url + path, headers={"Cookie": "a=b"} if path == "/books" else {}, timeout=20)


@pytest.fixture
def prometheus(busy, tmp_path):
    prometheus = Prometheus(busy, tmp_path)
    with prometheus.process:
        yield prometheus


def test_promtool_finds_nothing_to_say_about_the_metrics(busy):
    text = requests.get(f"{busy.admin_url}/metrics", timeout=PATIENCE).text
    assert promtool("check", "metrics", given=text) == (0, "")


def expressions():
    panels = json.loads(DASHBOARD.read_text())["panels"]
    assert 10 <= len(panels) <= 16
    for panel in panels:
        for target in panel["targets"]:
            expression = target["expr"].replace("$__rate_interval", "10s").replace("$instance", ".*")
            assert "$" not in expression, expression
            yield panel["title"], expression


def test_each_query_of_the_dashboard_has_an_answer(busy, prometheus):
    wait_for("two scrapes", lambda: (prometheus.number("count_over_time(up[1m])") or 0) >= 2)
    ask(busy)
    for title, expression in expressions():
        # A ratio of nothing to nothing would be an answer without a number.
        def answered():
            values = [sample["value"][1] for sample in prometheus.query(expression)]
            return values and "NaN" not in values[0]

        wait_for(f"{title}: {expression}", lambda: answered() or ask(busy))


def test_what_prometheus_has_is_what_the_gateway_has_counted(busy, prometheus):
    for expression, expected in [
        ('bookend_route_requests_total{route="/books/{id}",result="hit"}', 2),
        ('sum(bookend_request_duration_seconds_count{result="miss",route="/books/{id}"})', 1),
        ('bookend_request_duration_seconds_bucket{result="miss",route="/books/{id}",le="+Inf"}', 1),
        ("count(bookend_build_info)", 1),
        ('bookend_route_requests_total{route="/gone/{*rest}",upstream="gone",status="5xx"}', 1),
        ("sum(bookend_requests_total) - sum(bookend_route_requests_total)", 0),
    ]:
        wait_for(expression, lambda: prometheus.number(expression) == expected)
    assert prometheus.number("process_cpu_seconds_total") > 0


def test_native_histograms_are_scraped_where_prometheus_asks_for_them(busy, tmp_path):
    prometheus = Prometheus(busy, tmp_path, "--enable-feature=native-histograms")
    with prometheus.process:
        wait_for("a native histogram", lambda: prometheus.query("bookend_upstream_duration_seconds"))
        count = 'histogram_count(sum(bookend_request_duration_seconds{route="/books/{id}",result="miss"}))'
        assert prometheus.number(count) == 1
        # Of the native buckets, which are narrow: the two quantiles lie in the same one.
        low, high = (
            prometheus.number(f'histogram_quantile({at}, bookend_request_duration_seconds{{route="/books/{{id}}",result="miss"}})')
            for at in (0.01, 1)
        )
        assert 0 < low <= high < low * 1.1
        assert prometheus.number('bookend_requests_total{result="hit"}') == 2


def test_the_alerts_are_rules_that_fire_on_what_they_are_for(tmp_path):
    status, said = promtool("check", "rules", ALERTS)
    assert status == 0, said
    shutil.copy(ALERTS, tmp_path)
    shutil.copy(pathlib.Path(__file__).with_name("alerts_test.yml"), tmp_path)
    status, said = promtool("test", "rules", tmp_path / "alerts_test.yml")
    assert status == 0, said


def test_the_alerts_name_metrics_that_there_are(busy):
    text = requests.get(f"{busy.admin_url}/metrics", timeout=PATIENCE).text
    known = set(re.findall(r"^# TYPE (\S+)", text, re.MULTILINE))
    for name in set(re.findall(r"\b(?:bookend|process)_[a-z_]+", ALERTS.read_text() + DASHBOARD.read_text())):
        assert re.sub("_(bucket|count|sum)$", "", name) in known, name
