; Port 0x92 closes the A20 gate: odd megabytes are the even ones, for loads, stores and code, also
; where mappings of both were in use; and opens it again.
; exit: 0
; serial:
;   open 11111111 22222222 code 00000002
;   closed 11111111 11111111 code 00000001
;   stored 33333333
;   open 33333333 22222222 code 00000002
%include "guest.inc"

EVEN equ 0x600000
ODD  equ 0x700000
MOVED equ SPARE                   ; the code that closes the gate is in an even megabyte

main:
  mov dword [EVEN], 0x11111111
  mov dword [ODD], 0x22222222
  mov dword [EVEN + 0x1000], 0x000001b8
  mov word [EVEN + 0x1004], 0xc300
  mov dword [ODD + 0x1000], 0x000002b8
  mov word [ODD + 0x1004], 0xc300
  mov esi, probe
  mov edi, MOVED
  mov ecx, probe_end - probe
  rep movsb
  mov al, 2
  call open_or_close
  print "open "
  call show
  xor eax, eax
  call open_or_close
  print "closed "
  call show
  print "stored "
  mov eax, [EVEN]
  call print_hex
  say ""
  mov al, 2
  call open_or_close
  print "open "
show:
  mov eax, ebx
  call print_hex
  print " "
  mov eax, esi
  call print_hex
  print " code "
  mov eax, edi
  call print_hex
  say ""
  ret

open_or_close:
  mov ecx, MOVED
  call ecx
  ret

; AL for port 0x92; EBX, ESI, EDI: what is there. With the gate closed a store goes to ODD + 0.
; It ends with the gate open.
probe:
  mov ebp, eax
  in al, 0x92
  and al, 0xfd
  mov edx, ebp
  or al, dl
  out 0x92, al
  mov ebx, [EVEN]
  mov esi, [ODD]
  mov eax, ODD + 0x1000
  call eax
  mov edi, eax
  test ebp, ebp
  jnz .open
  mov dword [ODD], 0x33333333
.open:
  in al, 0x92
  or al, 2
  out 0x92, al
  ret
probe_end:
