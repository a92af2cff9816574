; Reads the first sector of the first disk and counts the timer's ticks meanwhile.
; Prints "busy" and "done" with the ticks since the command, each when it sees it first.
%include "guest.inc"
BUSY equ 0x80
main:
  mov ecx, 1193182 / 1000
  call start_timer
  sti
  mov dword [ticks], 0
  disk_command 0x20
.wait:
  mov edx, 0x3f6
  in al, dx
  test al, BUSY
  jz .done
  cmp dword [ticks], 200
  jb .wait
  cmp byte [told], 0
  jne .wait
  mov byte [told], 1
  say "busy"
  jmp .wait
.done:
  print "done "
  mov eax, [ticks]
  call print_hex
  say ""
  mov edx, 0x1f0
  mov ecx, 256
  mov edi, SPARE
  rep insw
  mov edx, 0x1f7
  in al, dx
  and eax, 0x89                   ; BSY, DRQ, ERR
  check_equal eax, 0, "status"
  ret
told: db 0
