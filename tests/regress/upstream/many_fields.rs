//! Responses with more fields than one would think: their octets are bounded, and their number by a key of its own.

use crate::common::{Gateway, Origin, Request, get, post};

fn lines(count: usize) -> String {
    (0..count).map(|at| format!("X-{at}: {at}\r\n")).collect()
}

/// What sends a head only, and what is hyper's to read.
fn requests() -> [Request; 2] {
    [get("/books"), post("/books", "a book")]
}

#[test]
fn many_short_fields_pass() {
    for count in [24, 25, 99, 100, 101, 300, 1_000, 2_000] {
        let origin = Origin::start(move |_, conn| {
            conn.write(format!(
                "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n{}Content-Length: 4\r\n\r\nbook",
                lines(count)
            ));
        });
        let gateway = Gateway::before(&origin).start();
        for request in requests() {
            for turn in 0..2 {
                let answer = gateway.send(&request);
                let case = format!("{}, {count}, {turn}", request.method);
                assert_eq!(
                    (answer.status, answer.text().as_str()),
                    (200, "book"),
                    "{case}"
                );
                let last = count - 1;
                assert_eq!(answer.field(&format!("x-{last}")), Some(&*last.to_string()));
                let own = answer
                    .fields
                    .0
                    .iter()
                    .filter(|(name, _)| name.starts_with("x-"));
                assert_eq!(own.count(), count, "{case}");
            }
        }
    }
}

#[test]
fn many_trailer_fields_pass() {
    for count in [1, 16, 17, 101, 300] {
        let origin = Origin::start(move |_, conn| {
            let names: Vec<_> = (0..count).map(|at| format!("X-{at}")).collect();
            conn.write(format!(
                "HTTP/1.1 200 OK\r\nTrailer: {}\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbook\r\n0\r\n{}\r\n",
                names.join(", "),
                lines(count)
            ));
        });
        let gateway = Gateway::before(&origin).start();
        for request in requests() {
            let request = request.field("TE", "trailers").field("Connection", "TE");
            let answer = gateway.send(&request).expect(200);
            assert_eq!(answer.text(), "book");
            assert_eq!(answer.trailers.0.len(), count, "{}", request.method);
        }
    }
}

#[test]
fn the_number_of_fields_is_bounded_where_a_key_says_so_and_their_octets_always() {
    let few = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n";
    let table = [
        ("max_fields = 10", format!("{few}{}", lines(9)), 200),
        ("max_fields = 10", format!("{few}{}", lines(10)), 502),
        ("max_fields = 10", format!("{few}{}", lines(500)), 502),
        ("max_fields = 300", format!("{few}{}", lines(299)), 200),
        ("max_fields = 300", format!("{few}{}", lines(300)), 502),
        ("", format!("{few}{}", lines(2_048)), 502),
        (
            "max_head = '8KiB'",
            format!("{few}X: {}\r\n", "x".repeat(9 << 10)),
            502,
        ),
        ("max_head = '8KiB'", format!("{few}{}", lines(1_000)), 502),
    ];
    for (key, head, status) in table {
        let case = format!("{key}, {} octets", head.len());
        let origin = Origin::start(move |_, conn| {
            conn.write(format!("{head}\r\n"));
        });
        let gateway = Gateway::before(&origin).upstream(key).start();
        for request in requests() {
            let answer = gateway.send(&request);
            assert_eq!(answer.status, status, "{case}, {}", request.method);
            if status == 502 {
                let said = answer.field("proxy-status").unwrap_or_default();
                assert!(
                    said.contains("http_response_header_section_size"),
                    "{case}: {said}"
                );
            }
        }
    }
}
