//! Why a check is not healthy: a closed list, so that a program can act on it.

use std::fmt;

macro_rules! reasons {
    ($($variant:ident $text:literal $doc:literal,)*) => {
        /// Why a check is not healthy. Its text in reports is the same in `snake_case`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub(crate) enum Reason {
            $(#[doc = $doc] $variant,)*
        }

        impl Reason {
            /// Every reason.
            pub(crate) const ALL: &[Reason] = &[$(Reason::$variant,)*];

            /// Its stable name.
            pub(crate) const fn as_str(self) -> &'static str {
                match self {
                    $(Reason::$variant => $text,)*
                }
            }
        }
    };
}

reasons! {
    DnsNxdomain "dns_nxdomain" "the name does not exist",
    DnsTimeout "dns_timeout" "the DNS server did not answer in time",
    DnsServfail "dns_servfail" "the DNS server failed or refused",
    DnsMismatch "dns_mismatch" "the answer holds other values",
    ConnectRefused "connect_refused" "nothing listens there",
    ConnectTimeout "connect_timeout" "no answer to the connection attempt in time",
    ConnectUnreachable "connect_unreachable" "there is no route to it",
    ConnectReset "connect_reset" "the connection was cut",
    ConnectOpen "connect_open" "a port that must be closed is open",
    AddressPartial "address_partial" "not every address of the name answers",
    TlsExpired "tls_expired" "a certificate has expired",
    TlsExpiring "tls_expiring" "a certificate expires soon",
    TlsNotYetValid "tls_not_yet_valid" "a certificate is not valid yet",
    TlsWrongHost "tls_wrong_host" "the certificate is for other names",
    TlsUntrusted "tls_untrusted" "nobody trusted signed the certificate",
    TlsIncompleteChain "tls_incomplete_chain" "the server leaves out an intermediate certificate",
    TlsPurpose "tls_purpose" "the certificate is not for servers",
    TlsNameConstraint "tls_name_constraint" "its issuer may not sign this name",
    TlsWeakKey "tls_weak_key" "its key or signature is too weak",
    TlsVersion "tls_version" "the server speaks no TLS 1.2 or newer",
    TlsUnrecognizedName "tls_unrecognized_name" "the server knows no certificate for the name",
    TlsHandshake "tls_handshake" "the TLS handshake failed",
    TlsClientCertRequired "tls_client_cert_required" "the server asks for a certificate of ours",
    HttpStatus "http_status" "the status of the answer is not a good one",
    HttpEmptyReply "http_empty_reply" "the server closed the connection without an answer",
    HttpProtocol "http_protocol" "the answer is no HTTP",
    HttpRedirectLoop "http_redirect_loop" "redirects lead in a circle or do not end",
    HttpRedirectExternal "http_redirect_external" "a redirect leads to another host, such as a login page",
    HttpRedirectDowngrade "http_redirect_downgrade" "a redirect leads from https to http",
    ProxyFailed "proxy_failed" "the proxy does not connect to it",
    HttpAnswered "http_answered" "a server that must close the connection answered",
    HeaderMismatch "header_mismatch" "a header of the answer is not as it must be",
    BodyMismatch "body_mismatch" "the body is not as it must be",
    BodyNotJson "body_not_json" "the body is no JSON",
    BodyTooLarge "body_too_large" "the body is larger than what is read of it",
    Latency "latency" "slower than wanted",
    Timeout "timeout" "not done in time",
    BannerMismatch "banner_mismatch" "the server says something else first",
    HostKeyMismatch "host_key_mismatch" "the server shows another host key, or cannot prove that it has this one",
    AuthFailed "auth_failed" "the login was refused",
    DbStarting "db_starting" "the database is starting, or stopping",
    DbSaturated "db_saturated" "the database has no free connection",
    Starting "starting" "it is starting",
    WsUpgrade "ws_upgrade" "the server did not switch to WebSocket",
    WsSilent "ws_silent" "no message came in time",
    UnitFailed "unit_failed" "the unit failed",
    UnitInactive "unit_inactive" "the unit does not run",
    UnitMissing "unit_missing" "there is no such unit",
    UnitRestarted "unit_restarted" "the unit was restarted since the last run",
    DiskSpace "disk_space" "the file system is filling up",
    DiskInodes "disk_inodes" "the file system is running out of inodes",
    MountMissing "mount_missing" "nothing is mounted there",
    MountReadonly "mount_readonly" "it is mounted read-only",
    Stale "stale" "it is too old",
    Missing "missing" "it is not there",
    ClockSkew "clock_skew" "its time lies in the future",
    ValueMismatch "value_mismatch" "a value in the file is not as it must be",
    FileUnreadable "file_unreadable" "the user who needs the file cannot read it",
    FileExposed "file_exposed" "everybody can read a file that is no business of theirs",
    ExecFailed "exec_failed" "the plugin says so",
    Permission "permission" "we are not allowed to look",
    SecretMissing "secret_missing" "a secret that the check needs cannot be read",
    NotAllowed "not_allowed" "it is only done with a consent that was not given",
    StaleReport "stale_report" "the report that it comes from is too old",
    NotReached "not_reached" "the time was up before it was looked at",
    Dependency "dependency" "something that it needs or wants is not healthy",
    Suspected "suspected" "everything that needs it fails together",
    Filtered "filtered" "left out by --only or --skip",
    Unsupported "unsupported" "this machine cannot look at it",
    Internal "internal" "the probe itself went wrong",
}

impl Reason {
    /// A trouble of the thing itself, which nothing that it needs can explain: it is always a root cause.
    pub(crate) const fn is_own(self) -> bool {
        matches!(
            self,
            Reason::TlsExpired
                | Reason::TlsExpiring
                | Reason::TlsNotYetValid
                | Reason::TlsWrongHost
                | Reason::TlsUntrusted
                | Reason::TlsIncompleteChain
                | Reason::TlsPurpose
                | Reason::TlsNameConstraint
                | Reason::TlsWeakKey
                | Reason::DnsNxdomain
                | Reason::DnsMismatch
                | Reason::DiskSpace
                | Reason::DiskInodes
                | Reason::MountMissing
                | Reason::MountReadonly
                | Reason::Stale
                | Reason::FileUnreadable
                | Reason::FileExposed
                | Reason::HostKeyMismatch
                | Reason::HttpRedirectDowngrade
                | Reason::Missing
                | Reason::UnitMissing
                | Reason::HttpRedirectLoop
                | Reason::ConnectOpen
                | Reason::HttpAnswered
        )
    }

    /// A trouble that may have passed a moment later: worth another attempt. Of statuses, only those from 500 on are.
    pub(crate) const fn is_transient(self) -> bool {
        matches!(
            self,
            Reason::Timeout
                | Reason::ConnectTimeout
                | Reason::ConnectReset
                | Reason::ConnectRefused
                | Reason::ConnectUnreachable
                | Reason::DnsTimeout
                | Reason::DnsServfail
                | Reason::HttpEmptyReply
                | Reason::HttpStatus
                | Reason::ProxyFailed
                | Reason::WsSilent
                | Reason::DbStarting
                | Reason::Starting
        )
    }

    /// A trouble that took the whole timeout: another attempt is dear.
    pub(crate) const fn is_slow(self) -> bool {
        matches!(self, Reason::Timeout | Reason::ConnectTimeout | Reason::DnsTimeout | Reason::WsSilent)
    }

    /// A trouble of reaching the machine rather than of the program on it.
    pub(crate) const fn is_network(self) -> bool {
        matches!(
            self,
            Reason::Timeout
                | Reason::ConnectTimeout
                | Reason::ConnectReset
                | Reason::ConnectRefused
                | Reason::ConnectUnreachable
        )
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
