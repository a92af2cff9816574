; Instructions of 15 bytes, nearly all of them prefixes: what becomes of them for the host must not
; be longer, or the host's processor refuses it.
; exit: 0
%include "guest.inc"

main:
  mov eax, cr4
  or eax, 0x600
  mov cr4, eax
  mov eax, 7
  times 12 db 0xf3
  db 0x0f, 0x2a, 0xc0             ; cvtsi2ss xmm0, eax
  times 12 db 0xf3
  db 0x0f, 0x2c, 0xd0             ; cvttss2si edx, xmm0
  check_equal edx, 7, "converted by EAX and EDX"
  mov ecx, esp
  times 12 db 0xf2
  db 0x0f, 0x2a, 0xcc             ; cvtsi2sd xmm1, esp
  times 12 db 0xf2
  db 0x0f, 0x2c, 0xe1             ; cvttsd2si esp, xmm1
  xchg ecx, esp
  check_equal ecx, STACK_TOP - 4, "converted by ESP"

  mov esi, SPARE
  mov dword [esi], 0
  mov edi, 5
  mov edx, 100
.again:
  times 12 db 0xf3
  db 0x01, 0x7e, 0x10             ; add [esi+0x10], edi
  times 12 db 0x66
  db 0x01, 0x7e, 0x12             ; add [esi+0x12], di
  db 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66
  db 0x81, 0x44, 0x24, 0xfc       ; add word [esp-4], 1
  dw 1
  dec edx
  jnz .again
  check_equal [esi+0x10], 500 + (500 << 16), "added under prefixes"
  ret
