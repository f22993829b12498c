(** * What a guest's HVC or SMC asks for

    `engine/src/trap/guest_call.rs`: standard services are the engine's to answer, of vendor calls only
    those that it does not know go to the host, and only these show it x0 to x6. *)

From Coq Require Import NArith ZArith List Bool.
From Bulkhead Require Import Base State World Args Psci.
Open Scope N_scope.

Inductive guest_call :=
| ToPsci (p : psci)
| Answer (x0 x1 x2 x3 : N)
| ToFirmware                    (** x0 to x3 are the firmware's answer *)
| MemShare (ipa : N)
| MemUnshare (ipa : N)
| MemRelinquish (ipa : N)
| Forward.

Definition answer_status (z : Z) : guest_call := Answer (word64 z) 0 0 0.
Definition unknown : guest_call := answer_status SMCCC_NOT_SUPPORTED.

Definition KVM_FEATURE_BITS : N := 1 + 4 + 8 + 16 + 512.

(** Vendor service numbers that the host may answer. *)
Definition is_for_host (number : N) : bool :=
  ((0x80 <=? number) && (number <=? 0xff)) || ((0x200 <=? number) && (number <=? 0xfeff)).

Definition on_page (ipa b c : N) (k : guest_call) : guest_call :=
  if is_aligned ipa && (b =? 0) && (c =? 0) then k else answer_status SMCCC_INVALID_PARAMETER.

Definition mitigate (z : Z) : guest_call := if (0 <=? z)%Z then ToFirmware else unknown.

Definition arch_features (cf : config) (asked : N) : Z :=
  if is_one_of asked [0x80000000; 0x80000001] then 0%Z
  else if asked =? 0x80008000 then fw_workaround1 cf
  else if asked =? 0x80007FFF then
    if (fw_workaround2 cf =? -2)%Z || (fw_workaround2 cf =? 1)%Z then fw_workaround2 cf
    else SMCCC_NOT_SUPPORTED
  else if asked =? 0x80003FFF then fw_workaround3 cf
  else SMCCC_NOT_SUPPORTED.

(** TRNG: which function it is, and whether its argument is acceptable. *)
Definition TRNG_INVALID : Z := -2.
Definition is_trng (f : N) : bool :=
  is_one_of f [0x84000050; 0x84000051; 0x84000052; 0x84000053; 0xC4000053].
Definition trng (f a : N) : option Z :=
  if f =? 0x84000051 then if is_trng a then None else Some SMCCC_NOT_SUPPORTED
  else if f =? 0x84000053 then if (1 <=? a) && (a <=? 96) then None else Some TRNG_INVALID
  else if f =? 0xC4000053 then if (1 <=? a) && (a <=? 192) then None else Some TRNG_INVALID
  else None.

Definition classify (cf : config) (imm x0 x1 x2 x3 : N) : guest_call :=
  if negb (imm =? 0) then unknown else
  match decode_psci x0 x1 x2 x3 with
  | Some p => ToPsci p
  | None =>
      let f := function_of x0 in
      let a := cut x0 x1 in let b := cut x0 x2 in let c := cut x0 x3 in
      if is_trng f then
        if fw_trng cf
        then match trng f a with None => ToFirmware | Some z => answer_status z end
        else unknown
      else
        if f =? 0x80000000 then Answer SMCCC_VERSION_1_2 0 0 0
        else if f =? 0x80000001 then answer_status (arch_features cf a)
        else if f =? 0x80008000 then mitigate (fw_workaround1 cf)
        else if f =? 0x80003FFF then mitigate (fw_workaround3 cf)
        else if f =? 0x8600FF01 then Answer 0xB66FB428 0xE911C52E 0x564BCAA9 0x743A004D
        else if f =? 0x86000000 then Answer KVM_FEATURE_BITS 0 0 0
        else if f =? 0xC6000002 then
          if (a =? 0) && (b =? 0) && (c =? 0) then Answer PAGE_SIZE 0 0 0
          else answer_status SMCCC_INVALID_PARAMETER
        else if f =? 0xC6000003 then on_page a b c (MemShare a)
        else if f =? 0xC6000004 then on_page a b c (MemUnshare a)
        else if f =? 0xC6000009 then on_page a b c (MemRelinquish a)
        else if N.testbit f 31 && ((f / 2 ^ 24) mod 64 =? 6) && is_for_host (f mod 2 ^ 24)
        then Forward else unknown
  end.
