//! The steps of the tour, in their order: the rule that each shows, and how to try it by hand.

use std::future::Future;
use std::io;
use std::pin::Pin;

use super::guide::Guide;
use super::walks;

/// One step of the tour.
pub(super) struct Step {
    pub(super) title: &'static str,
    /// The principle of REST or the rule of HTTP that it shows, in a sentence.
    pub(super) principle: &'static str,
    /// Commands to try by hand, each with the expected part of the response (or ""); `{}` stands for the gateway's URL.
    pub(super) tries: &'static [(&'static str, &'static str)],
    pub(super) walk: Walk,
}

type Walk = for<'a> fn(&'a mut Guide<'_>) -> Pin<Box<dyn Future<Output = io::Result<()>> + 'a>>;

pub(super) const STEPS: &[Step] = &[
    Step {
        title: "A miss, then a hit",
        principle: "REST's cache constraint: a response says for how long it may be reused (RFC 9111 §4.2).",
        tries: &[
            ("curl -i {}/books/123", "Cache-Status: fwd=uri-miss; stored"),
            (
                "curl -i {}/books/123",
                "Cache-Status: hit with its ttl, and an Age",
            ),
        ],
        walk: |guide| Box::pin(walks::miss_then_hit(guide)),
    },
    Step {
        title: "Not modified",
        principle: "A client that names the version it has is spared the content (RFC 9110 §13.1.2).",
        tries: &[
            ("curl -so book.json --etag-save book.etag {}/books/123", ""),
            (
                "curl -i --etag-compare book.etag {}/books/123",
                "304 without content, from the cache",
            ),
        ],
        walk: |guide| Box::pin(walks::not_modified(guide)),
    },
    Step {
        title: "HEAD from a stored GET",
        principle: "A stored GET answers HEAD too: the same fields, no content (RFC 9111 §4).",
        tries: &[("curl -I {}/books/123", "Cache-Status: hit")],
        walk: |guide| Box::pin(walks::head(guide)),
    },
    Step {
        title: "A range of it",
        principle: "Parts of a stored response are served without asking the API (RFC 9110 §14.2).",
        tries: &[(
            "curl -i -r 0-8 {}/books/123",
            "206, Content-Range, nine octets",
        )],
        walk: |guide| Box::pin(walks::range(guide)),
    },
    Step {
        title: "The same over HTTP/2",
        principle: "The uniform interface: what is stored belongs to the resource, not to a connection or protocol version.",
        tries: &[(
            "curl -i --http2-prior-knowledge {}/books/123",
            "HTTP/2 200 and Cache-Status: hit",
        )],
        walk: |guide| Box::pin(walks::http2(guide)),
    },
    Step {
        title: "A client that insists",
        principle: "Cache-Control: no-cache in a request has the stored response validated first (RFC 9111 §5.2.1.4).",
        tries: &[(
            "curl -i -H 'Cache-Control: no-cache' {}/books/123",
            "Cache-Status: fwd=request; the API was asked",
        )],
        walk: |guide| Box::pin(walks::validate(guide)),
    },
    Step {
        title: "Nothing stored, and nothing to be fetched",
        principle: "only-if-cached asks for a stored response or none (RFC 9111 §5.2.1.7).",
        tries: &[(
            "curl -i -H 'Cache-Control: only-if-cached' {}/books/456",
            "504",
        )],
        walk: |guide| Box::pin(walks::only_if_cached(guide)),
    },
    Step {
        title: "A write makes the next read fresh",
        principle: "A successful unsafe request invalidates what is stored for its target (RFC 9111 §4.4).",
        tries: &[
            (
                "curl -i -X PUT --json '{\"title\": \"Nineteen Eighty-Four\", \"author\": \"George Orwell\"}' {}/books/123",
                "200",
            ),
            (
                "curl -i {}/books/123",
                "Cache-Status: fwd=uri-miss, and the new title",
            ),
        ],
        walk: |guide| Box::pin(walks::put(guide)),
    },
    Step {
        title: "A new book, and the list knows it",
        principle: "The list is a resource of its own: cached on its own, invalidated by a POST to it.",
        tries: &[
            ("curl -i {}/books", "twice: a miss, then a hit"),
            (
                "curl -i --json '{\"title\": \"Animal Farm\", \"author\": \"George Orwell\"}' {}/books",
                "201 and a Location",
            ),
            (
                "curl -i {}/books",
                "Cache-Status: fwd=uri-miss, and the new book",
            ),
        ],
        walk: |guide| Box::pin(walks::post_then_delete(guide)),
    },
    Step {
        title: "An error is not kept",
        principle: "Only what says that it may be reused is (RFC 9111 §3): a book not found today may be there tomorrow.",
        tries: &[("curl -i {}/books/999", "404, and fwd each time")],
        walk: |guide| Box::pin(walks::error(guide)),
    },
    Step {
        title: "A redirect passes",
        principle: "Hypermedia: the API says where a resource is, and the gateway says the same.",
        tries: &[(
            "curl -iL {}/books/123/reviews",
            "308, then 200 from /books/123/reviews/",
        )],
        walk: |guide| Box::pin(walks::redirect(guide)),
    },
    Step {
        title: "Twenty at once",
        principle: "Requests for one resource that come together are collapsed: the API is asked once (RFC 9111 §4).",
        tries: &[(
            "for i in $(seq 20); do curl -so /dev/null -w '%header{cache-status}\\n' '{}/books/456?pause_ms=300' & done; wait",
            "one fwd that is stored, the others collapsed",
        )],
        walk: |guide| Box::pin(walks::collapse(guide)),
    },
    Step {
        title: "A list that streams",
        principle: "The layered system: a layer between must not make a client wait for the end of what is sent bit by bit.",
        tries: &[(
            "curl -iN {}/books/stream",
            "each line when it is made; a second time, all at once and a hit",
        )],
        walk: |guide| Box::pin(walks::stream(guide)),
    },
];

/// After the gateway has been started anew.
pub(super) const RESTARTED: Step = Step {
    title: "A restart",
    principle: "The gateway was stopped and started again: with `path` in [disk], what is stored outlives the process.",
    tries: &[],
    walk: |guide| Box::pin(walks::restarted(guide)),
};
