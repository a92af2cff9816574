; CPUID, asked again and again: the same leaf answers the same, whatever was asked before and in which
; ring, subleaves are told apart, and what the guest switches off is gone from the next answer on.
; exit: 0
; options: --machine apic=on
; serial:
;   leaves: the same
;   subleaves: right
;   few leaves: right
;   no execute-disable: right
;   no APIC: right
;   ring 3: right
%include "guest.inc"

MSR_APIC equ 0x1b
MSR_MISC equ 0x1a0
ROUNDS equ 20

%macro change_msr 3               ; number, bit of the half, EAX or EDX
  mov ecx, %1
  rdmsr
  xor %3, 1 << (%2)
  wrmsr
%endmacro

; [answers] := what leaf EAX, subleaf ECX answers; changes EAX, EBX, ECX, EDX
answer:
  cpuid
  mov [answers], eax
  mov [answers + 4], ebx
  mov [answers + 8], ecx
  mov [answers + 12], edx
  ret

main:
  xor ebp, ebp
.leaf:
  mov eax, [leaves + ebp * 4]
  xor ecx, ecx
  call answer
  mov edi, ROUNDS
.again:
  mov eax, [leaves + (ebp + 1) * 4]  ; another one between
  mov ecx, edi
  cpuid
  mov eax, [leaves + ebp * 4]
  xor ecx, ecx
  cpuid
  check_equal [answers], eax, "EAX"
  check_equal [answers + 4], ebx, "EBX"
  check_equal [answers + 8], ecx, "ECX"
  check_equal [answers + 12], edx, "EDX"
  dec edi
  jnz .again
  inc ebp
  cmp ebp, LEAVES - 1
  jb .leaf
  say "leaves: the same"

  mov ebp, ROUNDS
.subleaves:
  mov eax, 4
  mov ecx, 1
  cpuid
  and eax, 0x1f
  mov edi, eax
  mov eax, 4
  mov ecx, 2
  cpuid
  and eax, 0x1f
  shl eax, 8
  or edi, eax
  mov eax, 4
  mov ecx, 3
  cpuid
  and eax, 0x1f
  shl eax, 16
  or edi, eax
  check_equal edi, 0x302, "caches"   ; instructions, both, none
  dec ebp
  jnz .subleaves
  say "subleaves: right"

  mov ebp, ROUNDS
.limited:
  xor eax, eax
  cpuid
  cmp eax, 2
  jbe .wrong
  change_msr MSR_MISC, 22, eax
  xor eax, eax
  cpuid
  check_equal eax, 2, "leaves"
  change_msr MSR_MISC, 22, eax
  dec ebp
  jnz .limited
  say "few leaves: right"

  mov ebp, ROUNDS
.no_execute:
  mov edi, 0
  call extended_features
  change_msr MSR_MISC, 2, edx
  call extended_features
  change_msr MSR_MISC, 2, edx
  check_equal edi, 2, "execute-disable"
  dec ebp
  jnz .no_execute
  say "no execute-disable: right"

  mov eax, 1
  cpuid
  test edx, 1 << 9
  jz .wrong
  change_msr MSR_APIC, 11, eax
  mov ebp, ROUNDS
.no_apic:
  mov eax, 1
  cpuid
  test edx, 1 << 9
  jnz .wrong
  dec ebp
  jnz .no_apic
  say "no APIC: right"

  call paging_on
  user_page addr(user_code)
  user_page USER_STACK - 0x1000
  call flush_tlb
  mov eax, user_code
  mov edx, USER_STACK
  call run_user
  check_equal [USER_STACK - 0x800], ROUNDS, "ring 3"
  say "ring 3: right"
  ret
.wrong:
  fail "not so"

extended_features:                ; EDI * 2 + the bit of execute-disable
  mov eax, 0x80000001
  cpuid
  shr edx, 20
  and edx, 1
  lea edi, [edi * 2 + edx]
  ret

align 4
answers: times 4 dd 0
leaves: dd 0, 1, 2, 4, 5, 6, 7, 9, 0xa, 0xb, 0x15, 0x16, 0x17, 0x100, 0x101, 0x40000000, 0x40000001
  dd 0x40000010, 0x41000000, 0x80000000, 0x80000001, 0x80000002, 0x80000004, 0x80000008, 0x80000009
  dd 0x8fffffff, 0xfffffffe, 0xffffffff, 0
LEAVES equ ($ - leaves) / 4

; ---- ring 3 ----
align 4096
user_code:
  mov dword [USER_STACK - 0x800], 0
  mov ebp, ROUNDS
.next:
  xor eax, eax
  cpuid
  cmp ebx, 'Genu'
  jne .over
  mov eax, 1
  cpuid
  test edx, 1 << 9
  jnz .over
  inc dword [USER_STACK - 0x800]
  dec ebp
  jnz .next
.over:
  user_exit
align 4096
