use std::sync::Arc;

use candid::Principal;
use icgate_proto::{ConnectionSecret, SignerError};

use super::{AccessLevel, ConnectionId, OpenConnection};
use crate::{
    Signer,
    account::{AccountKey, AppIdentity, TargetOrigin, choose},
    clock::Nanos,
    envelope::{Bounds, Call, Digest, Rule, SignedEnvelope, decide, sign},
    refusal,
    transport::{AccountInfo, IdentityCallError},
};

/// One of the user's accounts at an app, as a caller names it.
#[derive(Debug, Clone)]
pub struct AccountChoice {
    /// The app's derivation origin.
    pub origin: TargetOrigin,
    /// Which account there.
    pub name: AccountName,
}

/// How an account is named.
#[derive(Debug, Clone)]
pub enum AccountName {
    /// The user's default account.
    Default,
    /// By its number.
    Number(u64),
    /// By its name.
    Name(String),
}

/// A request for a signature.
#[derive(Debug)]
pub struct SignRequest {
    /// On whose behalf.
    pub connection: ConnectionId,
    /// What opens the connection.
    pub secret: ConnectionSecret,
    /// Who to act as.
    pub account: AccountChoice,
    /// What to sign.
    pub call: Call,
}

/// A signed request and the decision behind it.
#[derive(Debug)]
pub struct Signed {
    /// The request.
    pub envelope: SignedEnvelope,
    /// The rule it fell under.
    pub rule: Rule,
    /// The call's digest.
    pub digest: Digest,
}

/// An attempt to sign with what is in memory.
#[derive(Debug)]
pub enum Warm {
    /// The answer.
    Done(Result<Signed, SignerError>),
    /// Disk or Internet Identity is needed: the request, to be given to [`Signer::sign`].
    Cold(Box<SignRequest>),
}

impl Signer {
    /// Signs, opening the connection and obtaining a delegation as needed.
    ///
    /// # Errors
    /// See [`icgate_proto::Reason`].
    pub async fn sign(self: &Arc<Self>, request: SignRequest) -> Result<Signed, SignerError> {
        let request = match self.sign_warm(request).await {
            Warm::Done(answer) => return answer,
            Warm::Cold(request) => request,
        };
        let connection = self.open(&request.connection, &request.secret).await?;
        // What will be refused anyway does not travel to Internet Identity first.
        let bounds = connection.bounds(AccessLevel::All);
        self.judge(&connection, &bounds, &request.call, None, self.clock.now())?;
        let app = self.act_as(&connection, &request.account).await?;
        self.sign_as(&connection, &app, request.call)
    }

    /// Signs if the connection is open and the delegation at hand; waits for nothing.
    pub async fn sign_warm(&self, request: SignRequest) -> Warm {
        let now = self.clock.now();
        let connection = self
            .open
            .warm(&request.connection, &request.secret, now)
            .await;
        let app = connection
            .as_ref()
            .and_then(|connection| warm_app(connection, &request.account, now));
        match (connection, app) {
            (Some(connection), Some(app)) => {
                Warm::Done(self.sign_as(&connection, &app, request.call))
            }
            _ => Warm::Cold(Box::new(request)),
        }
    }

    /// The principal an account acts as, and the account's number.
    ///
    /// # Errors
    /// See [`icgate_proto::Reason`].
    pub async fn principal(
        self: &Arc<Self>,
        id: &ConnectionId,
        secret: &ConnectionSecret,
        account: &AccountChoice,
    ) -> Result<(Principal, Option<u64>), SignerError> {
        let connection = self.open(id, secret).await?;
        self.live(&connection)?;
        let app = self.act_as(&connection, account).await?;
        Ok((app.principal(), app.account_number))
    }

    /// The user's accounts at an origin, as Internet Identity lists them now.
    ///
    /// # Errors
    /// See [`icgate_proto::Reason`].
    pub async fn list_accounts(
        self: &Arc<Self>,
        id: &ConnectionId,
        secret: &ConnectionSecret,
        origin: &TargetOrigin,
    ) -> Result<Arc<[AccountInfo]>, SignerError> {
        let connection = self.open(id, secret).await?;
        self.live(&connection)?;
        self.fetch_accounts(&connection, origin).await
    }

    fn live(&self, connection: &OpenConnection) -> Result<(), SignerError> {
        if connection.is_live(self.clock.now()) {
            Ok(())
        } else {
            Err(refusal::connection_ended())
        }
    }

    fn sign_as(
        &self,
        connection: &OpenConnection,
        app: &AppIdentity,
        call: Call,
    ) -> Result<Signed, SignerError> {
        let sender = app.principal();
        let bounds = connection.bounds(app.access);
        let rule = self.judge(connection, &bounds, &call, Some(sender), self.clock.now())?;
        let digest = call.digest(sender);
        let recorded = self
            .audit
            .allowed(connection.id.as_str(), &call, sender, digest, rule);
        Ok(Signed {
            envelope: sign(recorded, &app.identity, call),
            rule,
            digest,
        })
    }

    /// Decides, and records a refusal.
    fn judge(
        &self,
        connection: &OpenConnection,
        bounds: &Bounds,
        call: &Call,
        sender: Option<Principal>,
        now: Nanos,
    ) -> Result<Rule, SignerError> {
        decide(bounds, call, now).map_err(|refusal| {
            self.audit
                .refused(connection.id.as_str(), call, sender, refusal);
            SignerError::new(refusal.reason, refusal.sentence)
        })
    }

    async fn act_as(
        self: &Arc<Self>,
        connection: &Arc<OpenConnection>,
        account: &AccountChoice,
    ) -> Result<Arc<AppIdentity>, SignerError> {
        let number = match &account.name {
            AccountName::Default => None,
            AccountName::Number(number) => Some(*number),
            AccountName::Name(name) => self.number_of(connection, &account.origin, name).await?,
        };
        let key = (account.origin.clone(), number);
        let mint = || self.mint(connection, key.clone());
        connection
            .delegations
            .obtain(key.clone(), self.clock.now(), mint)
            .await
    }

    /// The work of obtaining a delegation, as a future of its own.
    pub(super) fn mint(
        self: &Arc<Self>,
        connection: &Arc<OpenConnection>,
        (origin, account): AccountKey,
    ) -> impl Future<Output = Result<AppIdentity, SignerError>> + Send + 'static {
        let (this, connection) = (Arc::clone(self), Arc::clone(connection));
        async move {
            let canister = connection.instance.canister;
            let minted = AppIdentity::mint(
                &this.ii,
                &this.root_key,
                canister,
                &connection.session,
                &origin,
                account,
            );
            match (minted.await, account) {
                (Ok(app), _) => Ok(app),
                (Err(IdentityCallError::Unauthorized), Some(number)) => {
                    Err(this.refused_number(&connection, &origin, number).await)
                }
                (Err(failure), _) => Err(this.identity_failure(&connection, failure).await),
            }
        }
    }

    /// Internet Identity answers the same to a grant it no longer honours and to the number of an account that is
    /// not the user's. The list of accounts tells which it was; only the former ends the connection.
    async fn refused_number(
        self: &Arc<Self>,
        connection: &Arc<OpenConnection>,
        origin: &TargetOrigin,
        number: u64,
    ) -> SignerError {
        match self.fetch_accounts(connection, origin).await {
            Ok(_) => refusal::account_number_unknown(origin, number),
            Err(error) => error,
        }
    }

    async fn number_of(
        self: &Arc<Self>,
        connection: &Arc<OpenConnection>,
        origin: &TargetOrigin,
        name: &str,
    ) -> Result<Option<u64>, SignerError> {
        if let Some(accounts) = connection.accounts.fresh(origin, self.clock.now())
            && let Ok(number) = choose(&accounts, origin, name)
        {
            return Ok(number);
        }
        // Not listed lately, or made since then.
        choose(
            &self.fetch_accounts(connection, origin).await?,
            origin,
            name,
        )
    }

    async fn fetch_accounts(
        self: &Arc<Self>,
        connection: &Arc<OpenConnection>,
        origin: &TargetOrigin,
    ) -> Result<Arc<[AccountInfo]>, SignerError> {
        let fetch = || {
            let (this, connection, origin) =
                (Arc::clone(self), Arc::clone(connection), origin.clone());
            async move {
                let canister = connection.instance.canister;
                match this
                    .ii
                    .accounts(canister, &connection.session, &origin)
                    .await
                {
                    Ok(accounts) => {
                        let accounts: Arc<[AccountInfo]> = accounts.into();
                        connection
                            .accounts
                            .keep(origin, this.clock.now(), Arc::clone(&accounts));
                        Ok(accounts)
                    }
                    Err(failure) => Err(this.identity_failure(&connection, failure).await),
                }
            }
        };
        connection
            .accounts
            .flights
            .board(origin.clone(), fetch)
            .await
    }
}

fn warm_app(
    connection: &OpenConnection,
    account: &AccountChoice,
    now: Nanos,
) -> Option<Arc<AppIdentity>> {
    let number = match &account.name {
        AccountName::Default => None,
        AccountName::Number(number) => Some(*number),
        AccountName::Name(name) => {
            let accounts = connection.accounts.fresh(&account.origin, now)?;
            choose(&accounts, &account.origin, name).ok()?
        }
    };
    connection
        .delegations
        .warm(&(account.origin.clone(), number), now)
}
