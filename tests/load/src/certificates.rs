//! (f) update calls as the user, whose replies are certified: with the subnet's delegation remembered, and with one in
//! every certificate that was never seen before. Beside them the check of one certificate in process.

use std::{iter::repeat_n, time::Duration};

use candid::Principal;
use ic_agent::{Agent, Certificate};
use icgate_certificate::Verifier;
use icgate_system::{Call, Consent, Devnet, Fault, Instance, Stack};

use crate::{
    Failure, Settings, mcp_request::McpRequest, process_figures::cpu_time, report::Certificates,
    rounds::Rounds,
};

/// Certificates checked in process, each way.
const CHECKED: usize = 300;

pub(crate) async fn measure(stack: &Stack, settings: Settings) -> Result<Certificates, Failure> {
    let consent = Consent {
        anchor: 10_002,
        ..Consent::default()
    };
    let (_client, tokens) = stack.sign_in(Instance::Beta, &consent).await;
    let update = Call::update(stack.devnet.canister("app"), "whoami_update", "()");
    let request = McpRequest::call(
        stack.gateway.address(),
        Some(&tokens.access_token),
        "call_canister",
        update.at("app.example").arguments(),
    )?;
    let processes = [
        ("gateway", stack.gateway.process().pid()),
        ("signer", stack.signer.process().pid()),
    ];
    let (mut remembered, mut renewed) = (Rounds::of(&processes), Rounds::of(&processes));
    let load = |during: Duration| request.load(settings.connections, during);
    load(settings.short_round()).await?;
    for round in 0..settings.rounds {
        remembered.add(load(settings.round())).await?;
        stack.devnet.fault(Fault::FreshDelegation).await;
        renewed.add(load(settings.round())).await?;
        stack.devnet.fault(Fault::None).await;
        eprintln!(
            "icgate-load: certificates, round {} of {}",
            round + 1,
            settings.rounds
        );
    }
    let in_process = InProcess::of(&stack.devnet).await?;
    Ok(Certificates {
        remembered: remembered.figures(),
        renewed: renewed.figures(),
        by_agent_us: in_process.by_agent_us()?,
        renewed_us: in_process.renewed_us().await?,
        remembered_us: in_process.remembered_us().await?,
    })
}

/// Certificates of one canister, each with a subnet delegation of its own, and what verifies them.
struct InProcess {
    agent: Agent,
    root_key: Vec<u8>,
    canister: Principal,
    certificates: Vec<Certificate>,
}

impl InProcess {
    async fn of(devnet: &Devnet) -> Result<Self, Failure> {
        let root_key = hex::decode(devnet.root_key())?;
        let agent = Agent::builder().with_url(devnet.ic_url()).build()?;
        agent.set_root_key(root_key.clone());
        let canister = devnet.principal("app");
        let path = vec![
            "canister".into(),
            canister.as_slice().into(),
            "module_hash".into(),
        ];
        devnet.fault(Fault::FreshDelegation).await;
        let mut certificates = Vec::with_capacity(CHECKED);
        for _ in 0..CHECKED {
            certificates.push(agent.read_state_raw(vec![path.clone()], canister).await?);
        }
        devnet.fault(Fault::None).await;
        Ok(Self {
            agent,
            root_key,
            canister,
            certificates,
        })
    }

    /// As the agent library does it: both signatures, in Rust.
    fn by_agent_us(&self) -> Result<f64, Failure> {
        let before = cpu_time(std::process::id())?;
        for certificate in &self.certificates {
            self.agent.verify(certificate, self.canister)?;
        }
        per_certificate_us(before)
    }

    /// Both signatures, with blst.
    async fn renewed_us(&self) -> Result<f64, Failure> {
        let encoded: Result<Vec<_>, _> = self.certificates.iter().map(serde_cbor::to_vec).collect();
        self.verified_us(encoded?).await
    }

    /// One signature, with blst.
    async fn remembered_us(&self) -> Result<f64, Failure> {
        let first = self.certificates.first().ok_or("no certificate")?;
        let encoded = serde_cbor::to_vec(first)?;
        self.verified_us(repeat_n(encoded, CHECKED)).await
    }

    async fn verified_us(
        &self,
        certificates: impl IntoIterator<Item = Vec<u8>>,
    ) -> Result<f64, Failure> {
        let verifier = Verifier::new(&self.root_key)?;
        let before = cpu_time(std::process::id())?;
        for certificate in certificates {
            verifier.answer(certificate, self.canister).await?;
        }
        per_certificate_us(before)
    }
}

/// CPU of this process since then, all its threads together.
fn per_certificate_us(before: Duration) -> Result<f64, Failure> {
    let spent = cpu_time(std::process::id())?.saturating_sub(before);
    Ok(spent.as_secs_f64() * 1e6 / CHECKED as f64)
}
