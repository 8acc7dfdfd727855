//! What is sent for an intent, made of the intent alone, and what the answers mean.

use std::time::{SystemTime, UNIX_EPOCH};

use candid::{CandidType, Nat, Principal, utils::ArgumentEncoder};
use ic_transport_types::RejectCode;
use serde::de::DeserializeOwned;
use serde_bytes::ByteBuf;

use super::{
    super::{failure::Failure, submit::NotAnswered},
    CYCLES_LEDGER, CYCLES_MINTING, ICP_LEDGER,
    drive::Work,
    not_answered, service, unreadable,
    wire::{
        Conversion, CreateCanister, CreateError, Created, CreationArgs, NotifyCreate, NotifyError,
        NotifyTopUp, Settings, SubnetSelection, TimeStamp, Tokens, Transfer, TransferError,
        Withdraw, WithdrawError,
    },
};
use crate::{
    candid::{decode, foreign::one_line},
    funding::{
        account::{AccountIdentifier, subaccount_of},
        amount::{Cycles, Icp, Rate},
        intent::{Gained, Intent, Payment, Progress, What},
        machine::{NotifyAnswer, PaymentAnswer, delivered, of_empty_balance},
    },
    ic::{Call, IcError},
};

/// `CREA`: what a transfer to the cycles minting canister is for.
const MEMO_CREATE: u64 = 0x4145_5243;
/// `TPUP`
const MEMO_TOP_UP: u64 = 0x5055_5054;
/// Longest words of a canister that are passed on, in characters.
const MOST_WORDS: usize = 500;

/// An answer, and what to tell when it never came.
type Heard<T> = (T, Option<Failure>);

impl Work<'_> {
    /// Sends the payment, as often as wanted: the ledgers know it by its time.
    pub(super) async fn pay(&self, intent: &Intent) -> Heard<PaymentAnswer> {
        let heard = match intent.payment {
            Payment::Cycles { amount } => match &intent.asked.what {
                What::Canister {
                    controllers,
                    subnet,
                } => {
                    let args = CreateCanister {
                        from_subaccount: None,
                        created_at_time: Some(intent.created_at_ns),
                        amount: amount.count().into(),
                        creation_args: Some(CreationArgs {
                            settings: settings(controllers),
                            subnet_selection: selection(*subnet),
                        }),
                    };
                    let reply = self.send(CYCLES_LEDGER, "create_canister", (args,)).await;
                    reply.map(of_create)
                }
                What::TopUp { canister } => {
                    let args = Withdraw {
                        amount: amount.count().into(),
                        from_subaccount: None,
                        to: *canister,
                        created_at_time: Some(intent.created_at_ns),
                    };
                    let reply = self.send(CYCLES_LEDGER, "withdraw", (args,)).await;
                    reply.map(|reply| of_withdraw(reply, intent))
                }
            },
            Payment::Icp { amount, fee_e8s } => {
                let (to, memo) = destination(intent);
                let args = Transfer {
                    memo,
                    amount: Tokens { e8s: amount.e8s() },
                    fee: Tokens { e8s: fee_e8s },
                    from_subaccount: None,
                    to: ByteBuf::from(*to.as_bytes()),
                    created_at_time: Some(TimeStamp {
                        timestamp_nanos: intent.created_at_ns,
                    }),
                };
                let reply = self.send(ICP_LEDGER, "transfer", (args,)).await;
                reply.map(of_transfer)
            }
        };
        let (answer, cause) = heard_or(heard, PaymentAnswer::NotSent, PaymentAnswer::Unknown);
        (self.settled(intent, answer).await, cause)
    }

    /// Looks into the cycles ledger when it finds the balance too small for a payment that may be what emptied it.
    async fn settled(&self, intent: &Intent, answer: PaymentAnswer) -> PaymentAnswer {
        let doubt = matches!(
            intent.progress,
            Progress::Unpaid { doubt: true, .. } | Progress::Paid { .. }
        );
        match (answer, intent.payment) {
            (PaymentAnswer::Insufficient { balance }, Payment::Cycles { .. }) if doubt => {
                let found = match intent.progress.block() {
                    Some(_) => Ok(None),
                    None => Box::pin(self.latest_block_for(intent)).await,
                };
                let found = found.unwrap_or_else(|failure| {
                    tracing::info!(
                        code = failure.code,
                        "the cycles ledger's blocks were not read"
                    );
                    None
                });
                of_empty_balance(intent, balance, found, now_ns())
            }
            (answer, _) => answer,
        }
    }

    /// Tells the cycles minting canister of the block that pays it.
    pub(super) async fn notify(&self, intent: &Intent, block: u64) -> Heard<NotifyAnswer> {
        let heard = match &intent.asked.what {
            What::Canister {
                controllers,
                subnet,
            } => {
                let args = NotifyCreate {
                    block_index: block,
                    controller: intent.payer,
                    subnet_type: None,
                    subnet_selection: selection(*subnet),
                    settings: settings(controllers),
                };
                let reply = self.send(CYCLES_MINTING, "notify_create_canister", (args,));
                let reply = reply.await;
                reply.map(|reply: Result<Principal, NotifyError>| reply.map(Gained::Canister))
            }
            What::TopUp { canister } => {
                let args = NotifyTopUp {
                    block_index: block,
                    canister_id: *canister,
                };
                let reply = self.send(CYCLES_MINTING, "notify_top_up", (args,)).await;
                reply.map(|reply: Result<Nat, NotifyError>| {
                    reply.map(|cycles| Gained::Cycles(u64::try_from(cycles.0).ok()))
                })
            }
        };
        heard_or(
            heard.map(of_notify),
            NotifyAnswer::NotSent,
            NotifyAnswer::Unknown,
        )
    }

    /// What ICP is worth now. Asked as an update, so that the whole subnet answers and not one node.
    pub(super) async fn rate(&self) -> Result<Rate, Failure> {
        let conversion: Conversion = self
            .ask(CYCLES_MINTING, "get_icp_xdr_conversion_rate", ())
            .await?;
        Rate::new(conversion.data.xdr_permyriad_per_icp).ok_or_else(unreadable)
    }

    /// A certified answer to a question that needs no identity.
    pub(super) async fn ask<T: CandidType + DeserializeOwned>(
        &self,
        service_id: &str,
        method: &str,
        arguments: impl ArgumentEncoder,
    ) -> Result<T, Failure> {
        let call = Call {
            canister: service(service_id)?,
            method: method.to_owned(),
            arg: candid::encode_args(arguments).map_err(|_| Failure::internal())?,
        };
        let reply = Box::pin(self.tools.ic.update_anonymous(call)).await;
        let reply = reply.map_err(|error| not_answered(error.into()))?;
        decoded(&reply).ok_or_else(unreadable)
    }

    async fn send<T: CandidType + DeserializeOwned>(
        &self,
        service_id: &str,
        method: &str,
        arguments: impl ArgumentEncoder,
    ) -> Result<T, NotAnswered> {
        let service = service(service_id)?;
        let (reply, _) = Box::pin(self.identity.update(service, method, arguments)).await?;
        // It was executed, whatever it was that came back.
        decoded(&reply)
            .ok_or_else(|| NotAnswered::Ic(IcError::Unexpected(format!("the reply of {method}"))))
    }
}

/// Where a payment in ICP goes, and its memo.
pub(super) fn destination(intent: &Intent) -> (AccountIdentifier, u64) {
    let (beneficiary, memo) = match intent.asked.what {
        What::Canister { .. } => (intent.payer, MEMO_CREATE),
        What::TopUp { canister } => (canister, MEMO_TOP_UP),
    };
    let minting = Principal::from_text(CYCLES_MINTING);
    #[expect(
        clippy::expect_used,
        reason = "a constant, and no other account may ever be paid"
    )]
    let minting = minting.expect("the constant is a principal");
    let to = AccountIdentifier::new(minting, &subaccount_of(beneficiary));
    (to, memo)
}

/// The present in nanoseconds since the Unix epoch.
pub(super) fn now_ns() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(now.unwrap_or_default().as_nanos()).unwrap_or(u64::MAX)
}

/// A reply with one value.
pub(super) fn decoded<T: CandidType + DeserializeOwned>(reply: &[u8]) -> Option<T> {
    decode::one(reply)
        .inspect_err(|error| tracing::error!(%error, "a reply about a payment cannot be read"))
        .ok()
}

/// The answer; without one, whether the request certainly did not arrive.
fn heard_or<T>(heard: Result<T, NotAnswered>, not_sent: T, unknown: T) -> Heard<T> {
    match heard {
        Ok(answer) => (answer, None),
        Err(NotAnswered::Failure(failure)) => (not_sent, Some(failure)),
        Err(NotAnswered::Ic(error)) => {
            tracing::info!(%error, "a payment has no answer");
            let answer = if was_not_executed(&error) {
                not_sent
            } else {
                unknown
            };
            (answer, Some(Failure::ic(&error)))
        }
    }
}

/// Whether an update that ended so cannot have been executed. A rejection by the canister itself does not say so, it
/// may have failed half-way; nor does the word of a single node.
fn was_not_executed(error: &IcError) -> bool {
    match error {
        IcError::Unreachable | IcError::Busy => true,
        IcError::Rejected(reject) => matches!(
            reject.reject_code,
            RejectCode::SysFatal | RejectCode::SysTransient | RejectCode::DestinationInvalid
        ),
        _ => false,
    }
}

fn settings(controllers: &[Principal]) -> Option<Settings> {
    Some(Settings {
        controllers: Some(controllers.to_vec()),
    })
}

fn selection(subnet: Option<Principal>) -> Option<SubnetSelection> {
    subnet.map(|subnet| SubnetSelection::Subnet { subnet })
}

fn words(text: &str) -> String {
    one_line(text, MOST_WORDS)
}

/// A block's number; no chain is longer.
fn block(number: Nat) -> u64 {
    u64::try_from(number.0).unwrap_or(u64::MAX)
}

fn balance(number: Nat) -> PaymentAnswer {
    PaymentAnswer::Insufficient {
        balance: u128::try_from(number.0).unwrap_or(u128::MAX),
    }
}

fn of_create(reply: Result<Created, CreateError>) -> PaymentAnswer {
    match reply {
        Ok(created) => PaymentAnswer::Accepted {
            block: block(created.block_id),
            gained: Some(Gained::Canister(created.canister_id)),
        },
        Err(CreateError::Duplicate {
            duplicate_of,
            canister_id,
        }) => PaymentAnswer::Accepted {
            block: block(duplicate_of),
            gained: canister_id.map(Gained::Canister),
        },
        Err(CreateError::FailedToCreate {
            refund_block,
            error,
            ..
        }) => PaymentAnswer::Refunded {
            reason: words(&error),
            block: refund_block.map(block),
        },
        Err(CreateError::InsufficientFunds { balance: number }) => balance(number),
        Err(CreateError::TooOld) => PaymentAnswer::TooOld,
        Err(CreateError::CreatedInFuture { .. }) => PaymentAnswer::InFuture,
        Err(CreateError::TemporarilyUnavailable) => PaymentAnswer::Unknown,
        Err(CreateError::GenericError { message, .. }) => PaymentAnswer::Refused(words(&message)),
    }
}

fn of_withdraw(reply: Result<Nat, WithdrawError>, intent: &Intent) -> PaymentAnswer {
    match reply {
        Ok(number) => PaymentAnswer::Accepted {
            block: block(number),
            gained: delivered(intent),
        },
        // Whether the cycles were put back meanwhile is not said.
        Err(WithdrawError::Duplicate { duplicate_of }) => PaymentAnswer::Accepted {
            block: block(duplicate_of),
            gained: Some(Gained::Cycles(None)),
        },
        Err(WithdrawError::FailedToWithdraw {
            rejection_reason, ..
        }) => PaymentAnswer::Refunded {
            reason: words(&rejection_reason),
            block: None,
        },
        Err(WithdrawError::InsufficientFunds { balance: number }) => balance(number),
        Err(WithdrawError::TooOld) => PaymentAnswer::TooOld,
        Err(WithdrawError::CreatedInFuture { .. }) => PaymentAnswer::InFuture,
        Err(WithdrawError::TemporarilyUnavailable) => PaymentAnswer::Unknown,
        Err(WithdrawError::GenericError { message, .. }) => PaymentAnswer::Refused(words(&message)),
        Err(WithdrawError::InvalidReceiver { receiver }) => {
            PaymentAnswer::Refused(format!("{receiver} cannot receive cycles"))
        }
        Err(WithdrawError::BadFee { expected_fee }) => {
            PaymentAnswer::Refused(format!("the fee is {expected_fee} cycles"))
        }
    }
}

fn of_transfer(reply: Result<u64, TransferError>) -> PaymentAnswer {
    match reply {
        Ok(block)
        | Err(TransferError::TxDuplicate {
            duplicate_of: block,
        }) => PaymentAnswer::Accepted {
            block,
            gained: None,
        },
        Err(TransferError::BadFee { expected_fee }) => PaymentAnswer::BadFee {
            expected_e8s: expected_fee.e8s,
        },
        Err(TransferError::InsufficientFunds { balance }) => PaymentAnswer::Insufficient {
            balance: balance.e8s.into(),
        },
        Err(TransferError::TxTooOld { .. }) => PaymentAnswer::TooOld,
        Err(TransferError::TxCreatedInFuture) => PaymentAnswer::InFuture,
    }
}

fn of_notify(reply: Result<Gained, NotifyError>) -> NotifyAnswer {
    match reply {
        Ok(gained) => NotifyAnswer::Gained(gained),
        Err(NotifyError::Refunded {
            reason,
            block_index,
        }) => NotifyAnswer::Refunded {
            reason: words(&reason),
            block: block_index,
        },
        Err(NotifyError::Processing) => NotifyAnswer::Processing,
        Err(NotifyError::TransactionTooOld(_)) => NotifyAnswer::TooOld,
        Err(NotifyError::InvalidTransaction(why)) => NotifyAnswer::Invalid(words(&why)),
        Err(NotifyError::Other { error_message, .. }) => NotifyAnswer::Other(words(&error_message)),
    }
}

/// What a payment takes from the balance, fee included: cycles or e8s.
pub(super) fn need(payment: Payment) -> u128 {
    match payment {
        Payment::Cycles { amount } => {
            u128::from(amount.count()) + u128::from(crate::funding::intent::CYCLES_FEE)
        }
        Payment::Icp { amount, fee_e8s } => u128::from(amount.e8s()) + u128::from(fee_e8s),
    }
}

/// A payment's amount for people.
pub(super) fn shown(payment: Payment) -> String {
    let (cycles, icp): (Option<Cycles>, Option<Icp>) = match payment {
        Payment::Cycles { amount } => (Some(amount), None),
        Payment::Icp { amount, .. } => (None, Some(amount)),
    };
    cycles
        .map(|cycles| cycles.to_string())
        .or_else(|| icp.map(|icp| icp.to_string()))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use ic_transport_types::RejectResponse;

    use super::*;

    fn reject(reject_code: RejectCode) -> RejectResponse {
        RejectResponse {
            reject_code,
            reject_message: String::new(),
            error_code: None,
        }
    }

    fn rejected(reject_code: RejectCode) -> IcError {
        IcError::Rejected(reject(reject_code))
    }

    fn turned_away(reject_code: RejectCode) -> IcError {
        IcError::TurnedAway(reject(reject_code))
    }

    #[test]
    fn only_what_cannot_have_been_executed_counts_as_not_sent() {
        for error in [
            IcError::Unreachable,
            IcError::Busy,
            rejected(RejectCode::SysTransient),
            rejected(RejectCode::DestinationInvalid),
        ] {
            assert!(was_not_executed(&error), "{error}");
        }
        for error in [
            IcError::AnswerLost,
            IcError::OutcomeUnknown(String::new()),
            IcError::Refused(403, String::new()),
            IcError::Unverified(String::new()),
            IcError::Unexpected(String::new()),
            turned_away(RejectCode::SysTransient),
            turned_away(RejectCode::DestinationInvalid),
            rejected(RejectCode::CanisterError),
            rejected(RejectCode::CanisterReject),
        ] {
            assert!(!was_not_executed(&error), "{error}");
        }
    }

    #[test]
    fn replies_that_are_something_else_are_not_read() {
        assert_eq!(decoded::<Nat>(b"DIDL"), None);
        assert_eq!(decoded::<Nat>(&[]), None);
        let other = candid::encode_one("text").unwrap();
        assert_eq!(decoded::<Nat>(&other), None);
        // A reply of a thousand million nulls.
        let bomb = b"DIDL\x01\x6d\x7f\x01\x00\xff\xff\xff\xff\x0f";
        assert!(decoded::<Result<Nat, WithdrawError>>(bomb).is_none());
    }
}
