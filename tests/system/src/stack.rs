use std::{fs, path::Path};

use tempfile::TempDir;

use crate::{
    AuthServer, Browser, Client, Consent, Devnet, Era, Gateway, McpClient, Proxy, Signer, Tokens,
    free_port, gateway::Place, signer::SignerSettings,
};

/// One of the two instances: a mount path with its own Internet Identity and issuer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Instance {
    /// `/mcp`
    Beta,
    /// `/mcp-prod`
    Prod,
}

impl Instance {
    /// The path of the MCP endpoint.
    pub fn mcp_path(self) -> &'static str {
        match self {
            Instance::Beta => "/mcp",
            Instance::Prod => "/mcp-prod",
        }
    }

    /// What stands before `/oauth` in the instance's paths.
    pub fn prefix(self) -> &'static str {
        match self {
            Instance::Beta => "",
            Instance::Prod => "/prod",
        }
    }

    /// devnet's name of the instance's Internet Identity.
    pub fn ii(self) -> &'static str {
        match self {
            Instance::Beta => IDENTITIES[0],
            Instance::Prod => IDENTITIES[1],
        }
    }
}

/// devnet's names of the Internet Identities of the two instances.
pub(crate) const IDENTITIES: [&str; 2] = ["ii", "ii_prod"];

/// Which generation of Internet Identity's protocol both instances and devnet speak.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Handshake {
    /// `registration-delegation`
    #[default]
    RegistrationDelegation,
    /// `key-request`
    KeyRequest,
}

impl Handshake {
    /// Its name in configurations.
    pub fn as_str(self) -> &'static str {
        match self {
            Handshake::RegistrationDelegation => "registration-delegation",
            Handshake::KeyRequest => "key-request",
        }
    }
}

/// Devnet, signer and gateway, each a process, in one temporary directory.
#[derive(Debug)]
pub struct Stack {
    /// The gateway.
    pub gateway: Gateway,
    /// The signer.
    pub signer: Signer,
    /// The local Internet Computer.
    pub devnet: Devnet,
    dir: TempDir,
}

impl Stack {
    /// Starts all three.
    pub async fn start() -> Self {
        Self::start_with("").await
    }

    /// Starts all three, with these lines at the end of gateway.toml.
    pub async fn start_with(settings: &str) -> Self {
        Self::start_at([Handshake::default(); 2], Self::own_place(), settings, &[]).await
    }

    /// Starts all three; people sign in by this handshake at both instances.
    pub async fn start_by(handshake: Handshake) -> Self {
        Self::start_by_each([handshake; 2]).await
    }

    /// Starts all three; people sign in by the first handshake at `/mcp` and by the second at `/mcp-prod`.
    pub async fn start_by_each(handshakes: [Handshake; 2]) -> Self {
        let [beta, prod] = handshakes.map(Handshake::as_str);
        let settings = format!("ii_handshake = \"{beta}\"\nii_handshake_prod = \"{prod}\"\n");
        Self::start_at(handshakes, Self::own_place(), &settings, &[]).await
    }

    /// Starts all three; both instances have the first Internet Identity.
    pub async fn start_with_one_identity() -> Self {
        let place = Place {
            identities: [IDENTITIES[0]; 2],
            ..Self::own_place()
        };
        Self::start_at([Handshake::default(); 2], place, "", &[]).await
    }

    /// Starts all three; the gateway also trusts the roots of this PEM file when it reads websites.
    pub async fn start_trusting(ca: &str) -> Self {
        Self::start_in(&[("SSL_CERT_FILE", ca)]).await
    }

    /// Starts all three, the gateway with further environment variables.
    pub async fn start_in(env: &[(&str, &str)]) -> Self {
        Self::start_at([Handshake::default(); 2], Self::own_place(), "", env).await
    }

    fn own_place() -> Place {
        let port = free_port();
        Place {
            url: format!("http://127.0.0.1:{port}"),
            port,
            identities: IDENTITIES,
        }
    }

    /// Starts all three, the gateway behind a proxy whose address it takes for its own, with further environment
    /// variables.
    pub async fn start_behind(proxy: &Proxy, env: &[(&str, &str)]) -> Self {
        let place = Place {
            url: proxy.url(),
            port: proxy.gateway_port(),
            identities: IDENTITIES,
        };
        Self::start_at([Handshake::default(); 2], place, "", env).await
    }

    async fn start_at(
        handshakes: [Handshake; 2],
        place: Place,
        settings: &str,
        env: &[(&str, &str)],
    ) -> Self {
        let dir = TempDir::with_prefix("icgate-test-").expect("a temporary directory");
        let part = |name: &str| {
            let path = dir.path().join(name);
            fs::create_dir_all(&path).expect("a directory in the temporary directory");
            path
        };
        let devnet = Devnet::start(&part("devnet"), handshakes).await;
        let signer = SignerSettings::new(&devnet, &place.url, place.identities);
        let signer = Signer::start(&part("signer"), &signer).await;
        let gateway =
            Gateway::start(&part("gateway"), place, &devnet, &signer, settings, env).await;
        Self {
            gateway,
            signer,
            devnet,
            dir,
        }
    }

    /// The directory everything lies in.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The MCP endpoint of an instance.
    pub fn mcp_url(&self, instance: Instance) -> String {
        format!("{}{}", self.gateway.url(), instance.mcp_path())
    }

    /// The authorization server of an instance, at its contract's paths.
    pub fn auth_server(&self, instance: Instance) -> AuthServer {
        AuthServer::new(self.gateway.url(), instance)
    }

    /// A registered client of an instance and the tokens it gets when the person consents as told.
    pub async fn sign_in(&self, instance: Instance, consent: &Consent) -> (Client, Tokens) {
        let client = Client::register(self.auth_server(instance)).await;
        let mut browser = Browser::new();
        let code = client.authorize(&mut browser, &self.devnet, consent).await;
        let tokens = client.redeem(&code).await;
        (client, tokens)
    }

    /// An MCP client that speaks with a token.
    pub fn mcp(&self, instance: Instance, era: Era, access_token: &str) -> McpClient {
        McpClient::new(&self.mcp_url(instance), era, Some(access_token))
    }

    /// A person's signed-in MCP client on `/mcp` with the common choices: identity 10000, full access.
    pub async fn agent(&self) -> McpClient {
        let (_client, tokens) = self.sign_in(Instance::Beta, &Consent::default()).await;
        self.mcp(Instance::Beta, Era::Modern, &tokens.access_token)
    }
}
