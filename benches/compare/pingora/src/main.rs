//! `pingora-peer PORT ORIGIN MIB`: Pingora with its cache in front of the origin on loopback, as somebody who knows it would
//! set it up for what benches/compare does: one thread without work stealing, responses in memory under a byte budget,
//! one fill for concurrent misses, connections to the origin kept, variants by what Vary names.
//!
//! Freshness and storability are pingora-cache's own rules (`filters`); it brings no Age and no Cache-Status, and none
//! is added here. `MemCache` is the only storage in memory that it brings.

use std::env;
use std::sync::LazyLock;
use std::time::Duration;

use async_trait::async_trait;
use mimalloc::MiMalloc;
use pingora_cache::cache_control::CacheControl;
use pingora_cache::eviction::simple_lru;
use pingora_cache::filters::resp_cacheable;
use pingora_cache::key::HashBinary;
use pingora_cache::lock::CacheLock;
use pingora_cache::{
    CacheKey, CacheMeta, CacheMetaDefaults, MemCache, RespCacheable, VarianceBuilder,
};
use pingora_core::apps::HttpServerOptions;
use pingora_core::server::Server;
use pingora_core::server::configuration::ServerConf;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_core::{Error, ErrorType, Result};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::{ProxyHttp, Session, http_proxy};

// Bookend's allocator, so that none has an advantage of that.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

static STORAGE: LazyLock<MemCache> = LazyLock::new(MemCache::new);
static LOCK: LazyLock<CacheLock> = LazyLock::new(|| CacheLock::new(Duration::from_secs(60)));
static EVICTION: LazyLock<simple_lru::Manager> =
    LazyLock::new(|| simple_lru::Manager::new(argument(3) << 20));

/// Without explicit freshness, nothing is stored.
const DEFAULTS: CacheMetaDefaults = CacheMetaDefaults::new(|_| None, 0, 0);

struct Proxy {
    origin: HttpPeer,
}

#[async_trait]
impl ProxyHttp for Proxy {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, _: &mut Session, _: &mut ()) -> Result<Box<HttpPeer>> {
        Ok(Box::new(self.origin.clone()))
    }

    fn request_cache_filter(&self, session: &mut Session, _: &mut ()) -> Result<()> {
        let request = session.req_header();
        // Its operator knows that this is never stored: under the lock, requests would wait for one another in vain.
        if request.method == "GET" && !request.uri.path().starts_with("/uncacheable") {
            let cache = &mut session.cache;
            cache.enable(&*STORAGE, Some(&*EVICTION), None, Some(&*LOCK), None);
        }
        Ok(())
    }

    fn cache_key_callback(&self, session: &Session, _: &mut ()) -> Result<CacheKey> {
        let request = session.req_header();
        let host = request.headers.get("host").map(|host| host.as_bytes());
        let host = host
            .or_else(|| Some(request.uri.authority()?.as_str().as_bytes()))
            .ok_or_else(|| Error::explain(ErrorType::InvalidHTTPHeader, "no host"))?;
        let target = request.uri.path_and_query().map_or("/", |all| all.as_str());
        let mut key = Vec::with_capacity(host.len() + 1 + target.len());
        key.extend_from_slice(host);
        // A host has no space in it.
        key.push(b' ');
        key.extend_from_slice(target.as_bytes());
        Ok(CacheKey::new(key, ""))
    }

    fn response_cache_filter(
        &self,
        session: &Session,
        response: &ResponseHeader,
        _: &mut (),
    ) -> Result<RespCacheable> {
        let control = CacheControl::from_resp_headers(response);
        let authorization = session.req_header().headers.contains_key("authorization");
        Ok(resp_cacheable(
            control.as_ref(),
            response.clone(),
            authorization,
            &DEFAULTS,
        ))
    }

    fn cache_vary_filter(
        &self,
        meta: &CacheMeta,
        _: &mut (),
        request: &RequestHeader,
    ) -> Option<HashBinary> {
        let mut key = VarianceBuilder::new();
        for vary in meta.headers().get_all("vary") {
            for name in vary.to_str().ok()?.split(',').map(str::trim) {
                let value = request.headers.get(name).map_or(&b""[..], |v| v.as_bytes());
                key.add_value(name, value);
            }
        }
        key.finalize()
    }
}

fn argument(at: usize) -> usize {
    let argument = env::args().nth(at).and_then(|text| text.parse().ok());
    argument.expect("pingora-peer PORT ORIGIN MIB, all of them numbers")
}

fn main() {
    let (port, origin) = (argument(1), argument(2));
    let configuration = ServerConf {
        threads: 1,
        work_stealing: false,
        upstream_keepalive_pool_size: 256,
        grace_period_seconds: Some(0),
        graceful_shutdown_timeout_seconds: Some(1),
        ..ServerConf::default()
    };
    let mut server = Server::new_with_opt_and_conf(None, configuration);
    server.bootstrap();
    let mut proxy = http_proxy(
        &server.configuration,
        Proxy {
            origin: HttpPeer::new(format!("127.0.0.1:{origin}"), false, String::new()),
        },
    );
    let mut options = HttpServerOptions::default();
    options.h2c = true;
    proxy.server_options = Some(options);
    let mut service = pingora_core::services::listening::Service::new("door".into(), proxy);
    service.add_tcp(&format!("127.0.0.1:{port}"));
    server.add_service(service);
    server.run_forever();
}
