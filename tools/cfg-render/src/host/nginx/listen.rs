//! What nginx listens on.

use crate::fleet::ProxyServer;
use crate::format::nginx::Directive;
use crate::host::HostBuilder;

/// What an nginx listens on, and how its version says so.
pub(super) struct Listen {
    /// What stands before the port: nothing and `[::]:`, or addresses.
    addresses: Vec<String>,
    http: u16,
    https: u16,
    version: (u32, u32, u32),
}

impl Listen {
    pub(super) fn of(builder: &HostBuilder<'_, '_>, proxy: &ProxyServer, version: (u32, u32, u32)) -> Self {
        let addresses = if proxy.listen.is_empty() {
            vec![String::new(), "[::]:".into()]
        } else {
            let all = &builder.host.spec.addresses;
            let addresses = proxy.listen.iter().flat_map(|network| all.get(network).into_iter().flatten());
            addresses
                .map(|address| if address.is_ipv6() { format!("[{address}]:") } else { format!("{address}:") })
                .collect()
        };
        Self { addresses, http: proxy.http_port, https: proxy.https_port, version }
    }

    /// Plain HTTP.
    pub(super) fn plain(&self, more: &[&str]) -> Vec<Directive> {
        self.each(self.http, &[], more)
    }

    /// TLS over TCP.
    pub(super) fn tls(&self, more: &[&str]) -> Vec<Directive> {
        // From 1.25.1 on HTTP/2 is a directive of its own, and this word only a warning.
        let words: &[&str] = if self.version < (1, 25, 1) { &["ssl", "http2"] } else { &["ssl"] };
        self.each(self.https, words, more)
    }

    /// HTTP/3. `reuseport` may stand exactly once an address: on the first server that listens there.
    pub(super) fn quic(&self, more: &[&str]) -> Vec<Directive> {
        self.each(self.https, &["quic"], more)
    }

    /// Whether HTTP/2 is a directive of its own.
    pub(super) fn has_http2_directive(&self) -> bool {
        self.version >= (1, 25, 1)
    }

    fn each(&self, port: u16, words: &[&str], more: &[&str]) -> Vec<Directive> {
        let one = |address: &String| {
            let mut listen = Directive::new("listen", [&format!("{address}{port}")]);
            listen.args.extend(words.iter().chain(more).map(|word| (*word).to_owned()));
            listen
        };
        self.addresses.iter().map(one).collect()
    }
}
