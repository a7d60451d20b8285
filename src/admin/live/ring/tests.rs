use super::*;

fn seconds(n: u64) -> Monotonic {
    Monotonic::from_millis(n * 1000)
}

/// Two workers, one ring, and the route `/a` on each.
struct Fixture {
    metrics: Metrics,
    ring: Ring,
    at: u64,
}

impl Fixture {
    fn new() -> Self {
        let metrics = Metrics::new(2);
        Self {
            ring: Ring::new(&metrics, 0, seconds(0)),
            metrics,
            at: 0,
        }
    }

    fn hits(&self, worker: usize, hits: u64) {
        let counters = &self.metrics.workers[worker];
        let route = counters.routes.of("/a", None);
        for _ in 0..hits {
            counters.hits.inc();
            route.count(Outcome::Hit, 200, true);
        }
    }

    fn measured(&self, wait: Wait, micros: u64) {
        let route = self.metrics.workers[0].routes.of("/a", None);
        route.record(wait, Duration::from_micros(micros));
    }

    fn second(&mut self) {
        self.at += 1;
        self.ring.read(&self.metrics, 0, seconds(self.at));
    }

    fn rate(&self, window: usize) -> f64 {
        let hits = self.ring.requests(window)[Outcome::Hit as usize];
        self.ring.rate(window, hits)
    }
}

#[test]
fn what_was_before_the_first_second_is_in_no_rate() {
    let metrics = Metrics::new(1);
    metrics.workers[0].hits.add(1_000);
    metrics.workers[0]
        .routes
        .of("/a", None)
        .count(Outcome::Hit, 200, true);
    let mut ring = Ring::new(&metrics, 5, seconds(10));
    assert_eq!(ring.rate(10, 7), 0.0);
    ring.read(&metrics, 5, seconds(11));
    assert_eq!(ring.requests(10), ByOutcome::default());
    assert_eq!(ring.evicted(10), 0);
    assert_eq!(
        ring.routes().next().unwrap().requests(10),
        ByOutcome::default()
    );
}

#[test]
fn rates_are_of_the_seconds_that_they_are_said_to_be_of() {
    let mut fixture = Fixture::new();
    for second in 0..20 {
        fixture.hits(0, if second < 10 { 100 } else { 10 });
        fixture.hits(1, 10);
        fixture.second();
    }
    assert_eq!(fixture.rate(10), 20.0);
    assert_eq!(fixture.rate(20), 65.0);
    // As long as there are not as many seconds, it is of those that there are.
    assert_eq!(fixture.rate(60), 65.0);
    // A second that was late is as long as it was.
    fixture.hits(0, 100);
    fixture.at += 9;
    fixture.second();
    assert_eq!(fixture.rate(1), 10.0);
}

#[test]
fn no_more_is_kept_than_is_said() {
    let mut fixture = Fixture::new();
    fixture.measured(Wait::Miss, 1_000);
    fixture.hits(0, 1);
    for _ in 0..SECONDS + 5 {
        fixture.second();
    }
    assert_eq!(
        fixture.ring.history(|all| all.iter().sum()).count(),
        SECONDS
    );
    let detailed = fixture.ring.seconds.iter();
    assert_eq!(
        detailed.filter(|second| !second.routes.is_empty()).count(),
        0
    );
    fixture.hits(0, 1);
    fixture.second();
    let route = fixture.ring.routes().next().unwrap();
    assert_eq!(route.history().count(), DETAILED);
    assert_eq!(route.history().last(), Some(1));
    assert_eq!(route.total[Outcome::Hit as usize], 2);
}

#[test]
fn percentiles_are_of_the_latest_seconds() {
    let mut fixture = Fixture::new();
    fixture.hits(0, 1);
    fixture.measured(Wait::Miss, 2_000_000);
    fixture.second();
    for _ in 0..20 {
        fixture.hits(0, 1);
        fixture.measured(Wait::Miss, 1_000);
        fixture.second();
    }
    let p99 = |seconds| {
        fixture
            .ring
            .times(seconds, Wait::Miss)
            .quantile(0.99)
            .unwrap()
    };
    assert!((0.0009..0.0011).contains(&p99(10)), "{}", p99(10));
    assert!((1.8..2.2).contains(&p99(60)), "{}", p99(60));
    assert_eq!(fixture.ring.times(60, Wait::Hit).quantile(0.5), None);
}

#[test]
fn hits_that_are_not_measured_count_as_those_that_are() {
    let mut fixture = Fixture::new();
    // A thousand hits of which one is measured, and one miss.
    fixture.hits(0, 1_000);
    fixture.measured(Wait::Hit, 20);
    fixture.measured(Wait::Miss, 50_000);
    fixture.second();
    let route = fixture.ring.routes().next().unwrap();
    let times = route.times(10);
    assert_eq!(times.count, 1_001);
    assert!(times.quantile(0.99).unwrap() < 0.000_03);
    assert!(times.quantile(1.0).unwrap() > 0.04);
}

#[test]
fn a_route_has_its_errors_and_its_own_requests() {
    let mut fixture = Fixture::new();
    let routes = &fixture.metrics.workers[1].routes;
    routes
        .of("/b", Some("films"))
        .count(Outcome::Pass, 503, false);
    routes
        .of("/b", Some("films"))
        .count(Outcome::Error, 502, true);
    routes
        .of("/b", Some("films"))
        .count(Outcome::Miss, 404, true);
    fixture.hits(0, 3);
    fixture.second();
    let routes: Vec<_> = fixture.ring.routes().collect();
    let [a, b] = &routes[..] else {
        panic!("{} routes", routes.len());
    };
    assert_eq!((&*a.labels.route, a.server_errors(10)), ("/a", 0));
    assert_eq!(a.requests(10)[Outcome::Hit as usize], 3);
    assert_eq!(b.labels.upstream.as_deref(), Some("films"));
    assert_eq!(
        (b.server_errors(10), b.requests(10).iter().sum::<u64>()),
        (2, 3)
    );
}
