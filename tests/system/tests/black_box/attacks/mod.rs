//! Attacks on the authorization server, each test named after what it tries. Where the attack has a test elsewhere
//! already, the table says where.
//!
//! | attack | tests |
//! |---|---|
//! | fixation with a foreign browser | [`browsers`], `connect`, gateway `oauth::tests::attacks::fixation_*` |
//! | open redirect in every parameter | [`redirects`], gateway `oauth::authorization`, `cimd::documents_*` |
//! | `javascript:` and encoded-dot redirects | [`redirects`], gateway `oauth::redirect` |
//! | code replay, also fifty at once | [`codes`], `tokens::a_code_*`, gateway `oauth::tests::attacks::code_replay_*` |
//! | a code taken to another client, verifier or redirect | [`codes`], `tokens::a_code_needs_*` |
//! | PKCE downgrade | [`codes`], gateway `oauth::authorization` |
//! | mix-up of authorization servers | [`redirects`] |
//! | refresh theft | `tokens::a_stolen_refresh_token_*`, gateway `oauth::token::refresh` |
//! | device phishing: the attacker's code, another person's consent | `device::device_phishing_*`, `device::nobody_leaves_*` |
//! | guessing a token byte by byte from the time it takes: no time is measured, credentials are found by their SHA-256 and what is compared besides is compared by `ct_eq` | [`guesses`], gateway `store::digest` |
//! | registration flood | [`floods`], `strangers`, gateway `store::tests::a_flood_*` |
//! | SSRF through CIMD: private ranges, transition prefixes | `cimd::ssrf_*`, gateway `fetch::address` |
//! | SSRF through CIMD: redirects, rebinding | `cimd::documents_*`, gateway `fetch::tests` |
//! | host-header injection | [`hosts`], `edge::a_foreign_origin_or_host_is_forbidden` |
//! | token, code, cookie and refresh token of the other instance | `isolation`, gateway `oauth::tests::attacks::nothing_of_*` |
//! | theft of the databases, the master key or both | `theft` |

mod browsers;
mod codes;
mod floods;
mod guesses;
mod hosts;
mod redirects;
